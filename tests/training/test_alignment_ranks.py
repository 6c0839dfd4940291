"""The loss of a batch that two processes share is that of one."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hf_dialects.training.alignment_loss import alignment_loss, batch_seqsim, gather_frames

LENGTHS = torch.tensor([3, 2, 7, 5, 4])
SENTENCE, VARIETY = torch.tensor([0, 1, 0, 1, 0]), torch.tensor([0, 0, 1, 1, 2])


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(5, 4)

    def forward(self, frames, mask, sentence, variety):
        frames, mask, sentence, variety = gather_frames(self.layer(frames), mask, sentence, variety)
        return alignment_loss(batch_seqsim(frames, mask), sentence, variety, 0.1, 1.0)


def step(model, rows=slice(None)):
    """Loss and gradient of this slice of the batch, padded to its own longest."""
    frames = torch.randn(len(LENGTHS), 8, 5, generator=torch.Generator().manual_seed(1))[rows]
    mask = torch.arange(8) < LENGTHS[rows, None]
    longest = int(LENGTHS[rows].max()) + 1  # one frame of padding everywhere
    loss = model(frames[:, :longest], mask[:, :longest], SENTENCE[rows], VARIETY[rows])
    loss.backward()
    return loss.item(), torch.cat([one.grad.flatten() for one in model.parameters()])


def train(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    torch.save(step(DistributedDataParallel(Toy()), slice(0, 2) if rank == 0 else slice(2, 5)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    """Positives and negatives on the other process, and other longest utterances."""
    torch.multiprocessing.spawn(train, args=(tmp_path,), nprocs=2)
    loss, gradient = step(Toy())
    assert loss > 0.1
    for rank in range(2):
        found, of_rank = torch.load(tmp_path / f"{rank}.pt")
        assert found == pytest.approx(loss, abs=1e-6)
        torch.testing.assert_close(of_rank, gradient, rtol=0, atol=1e-6)
