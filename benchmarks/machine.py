"""What a measurement was made on, without names and paths of the machine."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # what bfloat16 and int8 are fast with
PACKAGES = ("torch", "transformers", "numpy", "pytorch-metric-learning")


def facts() -> dict[str, str]:
    """Processor flags, threads, load before the run and versions."""
    flags = cpu_flags()
    found = "unknown" if flags is None else ", ".join(f"{name} {'yes' if name in flags else 'no'}" for name in FLAGS)
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "processor": f"{platform.machine()}, {os.cpu_count()} cores; {found}",
        "threads": f"{torch.get_num_threads()} of torch",
        "load before": f"{load} (mean number of running processes over a minute)",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def cpu_flags() -> set[str] | None:
    """Feature flags of the processor; None where the system does not say."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return None
    lines = [line for line in path.read_text().splitlines() if line.startswith("flags")]
    return set(lines[0].split(":", 1)[1].split()) if lines else None
