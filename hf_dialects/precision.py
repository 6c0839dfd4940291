"""Numbers a model computes with: float32, or bfloat16 where the hardware has it."""

import warnings
from contextlib import AbstractContextManager

import torch

PRECISIONS = ("float32", "bfloat16")
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")  # any of them: x86 first, then ARM


def precision_used(precision: str, device: torch.device | str = "cpu") -> str:
    """`precision`, or float32 with a warning where bfloat16 would be emulated, and slower than float32.

    Raises:
        ValueError: none of `PRECISIONS`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; it must be one of: {', '.join(PRECISIONS)}")
    if precision == "bfloat16" and not has_bfloat16(device):
        warnings.warn("this device has no bfloat16 instructions: float32 is used instead", stacklevel=3)
        return "float32"
    return precision


def has_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether the device multiplies bfloat16 matrices by instructions of its own."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return any(found.get(name, False) for name in BFLOAT16)


def running_in(precision: str, device: torch.device) -> AbstractContextManager:
    """A context in which products and convolutions take `precision`; weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
