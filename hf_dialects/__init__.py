"""Spoken dialect and accent identification on the Hugging Face stack.

Importing the package makes its models known to transformers' Auto classes: checkpoints then load without remote code.
"""

import sys
from importlib import import_module
from pathlib import Path

from hf_dialects.version import __version__

_MODULES = {
    "DialectConfig": "models.configuration_dialect",
    "DialectModel": "models.modeling_dialect",
    "DialectForAudioClassification": "models.modeling_dialect",
    "DialectFeatureExtractor": "models.feature_extraction_dialect",
    "DialectPipeline": "models.pipeline_dialect",
    "ZipformerConfig": "models.configuration_zipformer",
    "ZipformerModel": "models.modeling_zipformer",
    "ZipformerForRNNT": "models.rnnt_zipformer",
    "ZipformerFeatureExtractor": "models.feature_extraction_zipformer",
    "load_corpus": "data.load",
    "check_corpus": "data.schema",
    "group_split": "data.splits",
    "group_folds": "data.splits",
    "place_split": "data.place_split",
    "leakage": "data.leakage",
    "DialectTrainer": "training.trainer",
    "DialectTrainingArguments": "training.arguments",
    "MapMixTrainer": "training.mapmix",
    "AlignmentTrainer": "training.alignment",
    "DataMap": "training.datamaps",
    "DatamapsCallback": "training.datamaps_callback",
    "low_resource_subsets": "data.subsets",
    "predict": "inference",
    "Predictions": "inference",
    "encode_frames": "frames",
    "frame_rate_hz": "frames",
    "embed": "embeddings",
    "read_vectors": "embeddings",
    "read_frames": "embeddings",
    "embed_snippets": "snippet_embeddings",
    "read_snippets": "snippet_embeddings",
    "save_for_hub": "saving",
    "load_for_inference": "saving",
    "push": "hub.push",
    "DialectError": "errors",
}
__all__ = ["__version__", "register", *_MODULES]


def register() -> None:
    """Put our classes into transformers' Auto classes. Called at import; calling it again changes nothing."""
    from transformers import (
        AutoConfig,
        AutoFeatureExtractor,
        AutoModel,
        AutoModelForAudioClassification,
        AutoModelForRNNT,
    )

    from hf_dialects.models.configuration_dialect import DialectConfig
    from hf_dialects.models.configuration_ecapa_dialect import EcapaConfig
    from hf_dialects.models.configuration_zipformer import ZipformerConfig
    from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
    from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
    from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel
    from hf_dialects.models.modeling_ecapa_dialect import EcapaModel
    from hf_dialects.models.modeling_zipformer import ZipformerModel
    from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT

    AutoConfig.register(EcapaConfig.model_type, EcapaConfig, exist_ok=True)
    AutoModel.register(EcapaConfig, EcapaModel, exist_ok=True)
    AutoConfig.register(ZipformerConfig.model_type, ZipformerConfig, exist_ok=True)
    AutoModel.register(ZipformerConfig, ZipformerModel, exist_ok=True)
    AutoModelForRNNT.register(ZipformerConfig, ZipformerForRNNT, exist_ok=True)
    AutoFeatureExtractor.register(ZipformerConfig, ZipformerFeatureExtractor, exist_ok=True)
    AutoConfig.register(DialectConfig.model_type, DialectConfig, exist_ok=True)
    AutoModel.register(DialectConfig, DialectModel, exist_ok=True)
    AutoModelForAudioClassification.register(DialectConfig, DialectForAudioClassification, exist_ok=True)
    AutoFeatureExtractor.register(DialectConfig, DialectFeatureExtractor, exist_ok=True)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# the command line answers --help without loading torch; its commands call `register` when they need it
if Path((getattr(sys, "argv", None) or [""])[0]).stem != "hf-dialects":
    register()
