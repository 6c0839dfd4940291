import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from hf_dialects.models.objectives_dialect import build_objective
from hf_dialects.models.ranks_dialect import gather_with_gradient, global_mean

# one batch per case: sizes per rank, labels, rows that count in the classification loss
CASES = {
    "equal sizes": ((4, 4), [0, 1, 0, 2, 1, 2, 0, 1], None),
    "sizes differ by one": ((5, 4), [0, 1, 0, 2, 1, 2, 0, 1, 2], None),
    "positives on the other rank only": ((3, 3), [0, 1, 2, 0, 1, 2], None),
    "one rank counts less": ((4, 4), [0, 0, 1, 1, 2, 2, 0, 1], [1, 1, 0, 1, 0, 0, 1, 0]),
    "one rank counts nothing": ((4, 4), [0, 0, 1, 1, 2, 2, 0, 1], [1, 1, 1, 1, 0, 0, 0, 0]),
    "no pair anywhere": ((2, 1), [0, 1, 2], None),
    "one rank is empty": ((4, 0), [0, 1, 0, 1], None),
}
OBJECTIVES = {
    "supcon": {},
    "supcon negatives": {"denominator": "negatives"},
    "triplet": {"reduction": "all"},
    "multi_similarity": {},
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Toy(nn.Module):
    """Projects and classifies; its losses are those of the whole batch of all processes."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.dtype = dtype
        self.embed, self.classify = nn.Linear(6, 4), nn.Linear(4, 3)

    def forward(self, inputs, labels, counted, objective):
        embeddings = self.embed(inputs).to(self.dtype)
        cross_entropy = nn.functional.cross_entropy(self.classify(embeddings.float()), labels, reduction="none")
        name = objective.split()[0]
        contrastive = build_objective(name, **OBJECTIVES[objective])(*gather_with_gradient(embeddings, labels))
        return global_mean(cross_entropy, counted), contrastive


def step(model, batch, objective):
    """Values of both losses and the gradient of their sum."""
    model.zero_grad()
    values = model(*batch, objective)
    sum(values).backward()
    gradients = torch.cat([parameter.grad.flatten() for parameter in model.parameters()])
    return [value.item() for value in values], gradients.clone()


def batch_of(case, rank=None):
    sizes, labels, counted = CASES[case]
    inputs = torch.randn(len(labels), 6, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor(labels)
    counted = None if counted is None else torch.tensor(counted)
    if rank is None:
        return inputs, labels, counted
    inputs, labels = inputs.split(sizes)[rank], labels.split(sizes)[rank]
    return inputs, labels, None if counted is None else counted.split(sizes)[rank]


RUNS = [(case, objective, "float32") for case in CASES for objective in OBJECTIVES]
RUNS += [("sizes differ by one", objective, "bfloat16") for objective in OBJECTIVES]


def train(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    results = {}
    for case, objective, dtype in RUNS:
        model = DistributedDataParallel(Toy(DTYPES[dtype]))
        results[case, objective, dtype] = step(model, batch_of(case, rank), objective)
    embeddings, labels = gather_with_gradient(torch.full((rank + 1, 2), rank), torch.full((rank + 1,), rank))
    results["gathered"] = embeddings.tolist(), labels.tolist()
    torch.save(results, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(train, args=(folder,), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize(("case", "objective", "dtype"), RUNS)
def test_two_processes_equal_one(ranks, case, objective, dtype):
    (cross_entropy, contrastive), gradient = step(Toy(DTYPES[dtype]), batch_of(case), objective)
    values, gradients = zip(*(results[case, objective, dtype] for results in ranks), strict=True)
    assert sum(value[0] for value in values) / 2 == pytest.approx(cross_entropy, abs=1e-6)
    assert [value[1] for value in values] == pytest.approx([contrastive] * 2, abs=1e-6)
    assert torch.equal(*gradients)
    # bfloat16 embeddings take their gradient in bfloat16, rounded once per process
    torch.testing.assert_close(gradients[0], gradient, rtol=0, atol=1e-6 if dtype == "float32" else 1e-2)
    assert gradient.abs().max() > 0.1, "no gradient: this test would prove nothing"


def test_local_batches_would_be_another_objective():
    case = "positives on the other rank only"
    objective = build_objective("supcon")
    inputs, labels, _ = batch_of(case)
    assert objective(inputs, labels) > 0.1
    assert all(objective(*batch_of(case, rank)[:2]) == 0 for rank in range(2))


def test_rows_are_gathered_in_order_of_rank(ranks):
    for results in ranks:
        assert results["gathered"] == ([[0, 0], [1, 1], [1, 1]], [0, 1, 1])


def test_one_process_gets_its_input_back():
    embeddings, labels = torch.randn(3, 2), torch.tensor([0, 1, 0])
    gathered = gather_with_gradient(embeddings, labels)
    assert gathered[0] is embeddings
    assert gathered[1] is labels


def test_global_mean_of_one_process():
    values = torch.tensor([1.0, 2.0, float("nan")], requires_grad=True)
    assert global_mean(values[:2]).item() == 1.5
    assert global_mean(values[:2], torch.tensor([3.0, 1.0])).item() == 1.25
    mean = global_mean(values, torch.tensor([True, True, False]))
    mean.backward()
    assert mean.item() == 1.5
    assert values.grad.tolist() == [0.5, 0.5, 0.0]


def test_global_mean_of_nothing_is_zero_with_a_gradient_path():
    values = torch.ones(2, requires_grad=True, dtype=torch.bfloat16)
    mean = global_mean(values, torch.zeros(2))
    mean.backward()
    assert mean.item() == 0
    assert mean.dtype == torch.float32
    assert values.grad.tolist() == [0, 0]
