"""Metrics: arrays in, floats out, with intervals and tests that know about speakers. Layer 1; needs no torch."""

from hf_dialects.lazy import lazy_names

_MODULES = {
    "accuracy": "classification",
    "cluster_accuracy": "classification",
    "confusion_matrix": "classification",
    "macro_f1": "classification",
    "per_class": "classification",
    "weighted_f1": "classification",
    "brier_score": "calibration",
    "ece_bias_floor": "calibration",
    "expected_calibration_error": "calibration",
    "negative_log_likelihood": "calibration",
    "reliability_table": "calibration",
    "c_avg": "detection",
    "equal_error_rate": "detection",
    "mean_equal_error_rate": "detection",
    "pooled_equal_error_rate": "detection",
    "mean_reciprocal_rank": "ranks",
    "ranks_of": "ranks",
    "recall_at_k": "ranks",
    "Interval": "intervals",
    "bootstrap_interval": "intervals",
    "character_error_rate": "error_rates",
    "word_error_rate": "error_rates",
    "normalise": "text",
    "PairedResult": "comparison",
    "holm": "comparison",
    "paired_test": "comparison",
}

__all__ = sorted(_MODULES)

__getattr__, __dir__ = lazy_names(globals(), _MODULES)
