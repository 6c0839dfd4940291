"""Peak memory of converting a full-size checkpoint of icefall: read, convert, save, load again.

    python benchmarks/icefall_size.py

The large model with its attention decoder, 500 tokens and random weights, saved as a training does: weights in float32,
their running mean in float64. Each step runs in a process of its own, whose peak resident memory is that of the system
(resource.getrusage) and counts pages of mapped files.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from transformers.utils import logging

from hf_dialects.convert_icefall import convert_icefall, export_icefall, icefall_state_dict
from hf_dialects.icefall_checkpoint import read_checkpoint
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT

LIMIT_GIB = 4


def make(folder: Path) -> None:
    """The checkpoint."""
    torch.manual_seed(0)
    weights = icefall_state_dict(ZipformerForRNNT(ZipformerConfig.preset("large")))
    average = {name: tensor.double() for name, tensor in weights.items()}
    torch.save({"model": weights, "model_avg": average, "exp_dir": folder}, folder / "epoch-1.pt")


def convert(folder: Path) -> None:
    """Read, convert, save, load again, compare."""
    convert_icefall(folder / "epoch-1.pt", folder / "model")
    reload(folder)


def convert_average(folder: Path) -> None:
    """The same with the running mean."""
    convert_icefall(folder / "epoch-1.pt", folder / "model", average=True)
    reload(folder)


def export(folder: Path) -> None:
    """The way back."""
    export_icefall(folder / "model", folder / "back.pt")


def reload(folder: Path) -> None:
    loaded = icefall_state_dict(ZipformerForRNNT.from_pretrained(folder / "model"))
    weights = read_checkpoint(folder / "epoch-1.pt").weights
    assert loaded.keys() == weights.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


STEPS = {"make": make, "convert": convert, "convert the mean": convert_average, "export": export}


def main() -> None:
    """Run every step in a process of its own, and print what it took."""
    if len(sys.argv) == 3:
        torch.set_num_threads(1)
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        start = time.monotonic()
        STEPS[sys.argv[1]](Path(sys.argv[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
        verdict = (
            "" if sys.argv[1] == "make" else f" (at most {LIMIT_GIB}: {'held' if peak <= LIMIT_GIB else 'MISSED'})"
        )
        print(f"{sys.argv[1]}: {time.monotonic() - start:.1f} s, peak {peak:.2f} GiB{verdict}", flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in STEPS:
            subprocess.run([sys.executable, __file__, name, folder], check=True)
            if name == "make":
                print(f"checkpoint: {(Path(folder) / 'epoch-1.pt').stat().st_size / 2**30:.2f} GiB", flush=True)


if __name__ == "__main__":
    main()
