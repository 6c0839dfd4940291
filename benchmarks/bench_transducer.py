"""Transducer losses: the simple and the pruned one together, and our full one, against torchaudio's full one."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torchaudio
from measure import Row, interleaved

from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.models.transducer_zipformer import (
    prune_ranges,
    pruned_rnnt_loss,
    rnnt_loss,
    simple_rnnt_loss,
    take_ranges,
)

BATCH, FRAMES, TOKENS = 8, 250, 30  # ten seconds of speech at 25 Hz
VOCABULARIES = {500: 3, 3800: 1}  # rounds at most: a full loss over the large one takes most of a minute
SMALL_ENCODER = {"num_encoder_layers": (1,), "encoder_dims": (512,), "feedforward_dims": (64,), "num_heads": (4,)}
SMALL_ENCODER |= {"downsampling_factors": (1,), "cnn_module_kernels": (15,), "attention_decoder_layers": 0}
OURS = {"simple + pruned (5 of 31 tokens)": "pruned", "our full loss": "full"}


def bench_transducer(rounds: int) -> list[Row]:
    """Time and memory of joiner and loss, forward and backward."""
    rows = []
    for vocabulary, most in VOCABULARIES.items():
        ways = {name: step(name, vocabulary) for name in ("torchaudio", *OURS.values())}
        found = interleaved(ways, min(rounds, most), warm_up=int(most > 1))
        memory = {name: peak_in_child(name, vocabulary) for name in ways}
        for title, name in OURS.items():
            what = f"transducer, V = {vocabulary}: {title} / torchaudio's full loss"
            note = f"{found[name].seconds:.2f} s, torchaudio {found['torchaudio'].seconds:.2f} s"
            rows.append(Row(f"{what}, time", found[name].ratio, note, at_most=0.5 if name == "pruned" else None))
            note = f"{memory[name]:.0f} MiB, torchaudio {memory['torchaudio']:.0f} MiB"
            ratio = memory[name] / memory["torchaudio"]
            rows.append(Row(f"{what}, peak memory", ratio, note, at_most=0.5 if name == "pruned" else None))
    return rows


def step(name: str, vocabulary: int) -> Callable[[], None]:
    """A function that computes joiner and loss from frames and states, and all gradients."""
    torch.manual_seed(0)
    model = ZipformerForRNNT(ZipformerConfig(**SMALL_ENCODER, vocab_size=vocabulary))
    frames = torch.randn(BATCH, FRAMES, model.config.hidden_size, requires_grad=True)
    states = torch.randn(BATCH, TOKENS + 1, model.config.decoder_dim, requires_grad=True)
    targets = torch.randint(1, vocabulary, (BATCH, TOKENS))
    lengths = torch.linspace(FRAMES // 2, FRAMES, BATCH).long(), torch.linspace(TOKENS // 2, TOKENS, BATCH).long()

    def full() -> torch.Tensor:
        joiner = model.joiner
        logits = joiner(joiner.encoder_proj(frames)[:, :, None], joiner.decoder_proj(states)[:, None])
        if name == "full":
            return rnnt_loss(logits, targets, *lengths, reduction="sum")
        lengths_32 = (one.int() for one in lengths)
        return torchaudio.functional.rnnt_loss(logits, targets.int(), *lengths_32, blank=0, reduction="sum")

    def pruned() -> torch.Tensor:
        am, lm = model.simple_am_proj(frames), model.simple_lm_proj(states)
        simple, occupations = simple_rnnt_loss(
            am, lm, targets, *lengths, lm_scale=0.25, reduction="sum", return_occupations=True
        )
        ranges = prune_ranges(*occupations, *lengths)
        windows = take_ranges(model.joiner.decoder_proj(states), ranges)
        logits = model.joiner(model.joiner.encoder_proj(frames)[:, :, None], windows)
        return 0.5 * simple + pruned_rnnt_loss(logits, ranges, targets, *lengths, reduction="sum")

    def run() -> None:
        (pruned() if name == "pruned" else full()).backward()

    return run


def peak_in_child(name: str, vocabulary: int) -> float:
    """Peak memory of one step in a process of its own, above what was there before, in MiB; nan where not known."""
    if not Path("/proc/self/status").is_file():
        return float("nan")
    command = [sys.executable, __file__, name, str(vocabulary)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def resident(field: str) -> float:
    """A field of this process's memory in MiB: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


if __name__ == "__main__":
    torch.set_num_threads(1)
    run = step(sys.argv[1], int(sys.argv[2]))
    before = resident("VmRSS")
    run()
    print(resident("VmHWM") - before)
