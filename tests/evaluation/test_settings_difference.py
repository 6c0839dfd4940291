"""What other settings change, on a sample of the corpus."""

import json

import numpy as np
import pytest
import tiny
from datasets import Dataset

from hf_dialects.data.audio import encode
from hf_dialects.evaluation.settings_difference import describe_difference, sample, settings_difference
from hf_dialects.inference import predict


@pytest.fixture(scope="module")
def given():
    waveforms = [tiny.waveform(1.6 + n / 10, n) for n in range(4)]
    cells = [{"bytes": encode(one, tiny.RATE), "path": None} for one in waveforms]
    corpus = Dataset.from_dict({"audio": cells, "id": list("dbca"), "dialect": [0, 1, 2, 0]})
    return tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), corpus


def test_the_sample_is_spread_and_small():
    assert sample(np.full(100, 3)) == [0, 14, 28, 42, 57, 71, 85, 99]
    assert sample(np.array([2, 500, 3])) == [0, 2]
    assert sample(np.array([500])) == []


def test_the_difference_is_that_of_two_runs(given):
    predictions = predict(*given, normalize="recording", progress=False)
    found = settings_difference(*given, predictions, "recording", "float32")
    plain = predict(*given, batch_size=1, progress=False)
    assert found["recordings"] == 4
    assert found["windows"] == plain.windows.sum()
    gap = np.abs(predictions.probabilities - plain.probabilities)
    assert found["normalize"]["mean_probability"] == pytest.approx(gap.mean(), abs=1e-6)
    assert found["normalize"]["largest_probability"] >= gap.max() - 1e-6
    assert found["normalize"]["largest_logit"] > 0
    assert (
        found["normalize"]["same_dialect"]
        == (predictions.probabilities.argmax(1) == plain.probabilities.argmax(1)).mean()
    )
    assert json.dumps(found)
    told = describe_difference({"normalize": "recording", "difference": found})
    assert told.startswith("normalize recording against window, on 4 recordings: ")
    assert settings_difference(*given, predictions, "window", "float32") == {}
    assert describe_difference({"normalize": "window"}) == ""
