"""The metrics as modules of Hugging Face `evaluate`, with the values of the functions in `hf_dialects.metrics`.

Import a class, or load its folder by path; the folders call this package, which has to be installed then too:

    from hf_dialects.metrics.evaluate_modules import Calibration
    evaluate.load("…/hf_dialects/metrics/evaluate_modules/calibration")

Nothing is downloaded. A module takes one kind of predictions: DialectClassification and ClusterAccuracy take class
numbers and go together in `evaluate.combine`, Calibration and Detection take probabilities.
"""

from hf_dialects.metrics.evaluate_modules.calibration.calibration import Calibration
from hf_dialects.metrics.evaluate_modules.cluster_accuracy.cluster_accuracy import ClusterAccuracy
from hf_dialects.metrics.evaluate_modules.detection.detection import Detection
from hf_dialects.metrics.evaluate_modules.dialect_classification.dialect_classification import DialectClassification

__all__ = ["Calibration", "ClusterAccuracy", "Detection", "DialectClassification"]
