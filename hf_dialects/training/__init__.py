"""Training: trainers and their arguments, and data maps as a by-product. Layer 5."""

from hf_dialects.lazy import lazy_names
from hf_dialects.training.confidence_labels import confidence_labels  # eager: its module has the same name

_MODULES = {
    "AlignmentTrainer": "alignment",
    "AsrTrainer": "asr_trainer",
    "AsrTrainingArguments": "asr_arguments",
    "AveragedWeights": "averaged_weights",
    "DataMap": "datamaps",
    "DatamapsCallback": "datamaps_callback",
    "DialectTrainer": "trainer",
    "DialectTrainingArguments": "arguments",
    "Eden": "eden",
    "MapMixTrainer": "mapmix",
    "ScaledAdam": "optimisers",
}

__all__ = [*_MODULES, "confidence_labels"]

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
