"""Training: trainers and their arguments, and data maps as a by-product. Layer 5."""

from importlib import import_module

from hf_dialects.training.confidence_labels import confidence_labels  # eager: its module has the same name

_MODULES = {
    "DataMap": "datamaps",
    "DatamapsCallback": "datamaps_callback",
    "DialectTrainer": "trainer",
    "DialectTrainingArguments": "arguments",
    "MapMixTrainer": "mapmix",
}

__all__ = [*_MODULES, "confidence_labels"]


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
