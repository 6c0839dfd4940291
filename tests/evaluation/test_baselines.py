"""hf_dialects.evaluation.baselines: majority by hand, mel statistics against a plain loop, folds, names."""

import io

import numpy as np
import pytest
import soundfile
from datasets import ClassLabel, Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.evaluation import baselines
from hf_dialects.evaluation.baselines import BASELINES, baseline_names, fit_baselines, fold_baselines, majority
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor

LABELS = ["low", "high", "unheard"]
RATE = 16000


def wav(waveform):
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, RATE, format="WAV", subtype="FLOAT")
    return {"bytes": buffer.getvalue(), "path": None}


def tones(labels, seed=0):
    """A quarter of a second of noise with a tone at about 300 Hz for "low" and 1,500 Hz for "high"."""
    random = np.random.default_rng(seed)
    time = np.arange(RATE // 4) / RATE
    pitch = [(300, 1500, 5000)[label] * random.uniform(0.9, 1.1) for label in labels]
    waveforms = [0.3 * np.sin(2 * np.pi * one * time) + 0.02 * random.normal(size=len(time)) for one in pitch]
    rows = {
        "id": [f"{seed}-{i}" for i in range(len(labels))],
        "audio": [wav(one) for one in waveforms],
        "dialect": labels,
    }
    return Dataset.from_dict(rows).cast_column("dialect", ClassLabel(names=LABELS))


@pytest.fixture(scope="module")
def train():
    return tones([0, 1] * 6)


@pytest.fixture(scope="module")
def test():
    return tones([1, 0, 0, 1, 2], seed=1)


def mel_statistics(train, evaluated, **options):
    return fit_baselines(train, evaluated, ("mel statistics",), progress=False, **options)["mel statistics"]


def test_majority_gives_the_frequencies_of_training():
    probabilities = majority([2, 0, 2, 1], n_classes=4, n=3)
    assert probabilities.tolist() == [[0.25, 0.25, 0.5, 0]] * 3
    assert majority([1, 0], 2, 1).argmax() == 0, "of equals the first"
    assert majority([1, 0], 2, 0).shape == (0, 2)


@pytest.mark.parametrize("label", [None, -1, 2])
def test_majority_names_a_label_that_is_none(label):
    with pytest.raises(CorpusError, match="1 training labels are missing or not below 2, first in row 1"):
        majority([0, label], n_classes=2, n=3)


def test_majority_needs_training_utterances():
    with pytest.raises(CorpusError, match="the training split holds no utterances"):
        majority([], n_classes=2, n=3)


def test_mel_statistics_hear_pitch(train, test):
    found = mel_statistics(train, {"train": train, "test": test})
    assert list(found) == ["train", "test"]
    assert found["train"].argmax(1).tolist() == train["dialect"][:]
    assert found["test"].argmax(1)[:4].tolist() == [1, 0, 0, 1]
    assert found["test"].sum(1) == pytest.approx(np.ones(5))
    assert found["test"][:, 2].tolist() == [0.0] * 5, "a class that was never heard in training"


def test_mel_statistics_equal_a_plain_loop(train, test):
    def statistics(rows):
        extractor, found = DialectFeatureExtractor(), []
        for cell in rows["audio"]:
            frames = extractor.log_mel(soundfile.read(io.BytesIO(cell["bytes"]), dtype="float32")[0]).astype(float)
            found.append([*frames.mean(axis=0), *frames.std(axis=0)])
        return np.array(found)

    scaler = StandardScaler().fit(statistics(train))
    model = LogisticRegression(max_iter=10_000).fit(scaler.transform(statistics(train)), train["dialect"][:])
    expected = model.predict_proba(scaler.transform(statistics(test)))
    found = mel_statistics(train, {"test": test})["test"]
    np.testing.assert_allclose(found[:, :2], expected, rtol=1e-6)


def test_mel_statistics_depend_on_neither_threads_nor_other_splits(train, test):
    alone = mel_statistics(train, {"test": test}, workers=1)["test"]
    beside = mel_statistics(train, {"other": tones([2, 2], seed=2), "test": test}, workers=4)["test"]
    np.testing.assert_array_equal(alone, beside)


def test_every_recording_is_decoded_once(train, test, monkeypatch):
    decoded = []
    original = baselines.decode
    monkeypatch.setattr(baselines, "decode", lambda *given: decoded.append(1) or original(*given))
    fit_baselines(train, {"train": train, "test": test}, progress=False)
    assert len(decoded) == len(train) + len(test)
    decoded.clear()
    fold_baselines(folds_of(train), progress=False)
    assert len(decoded) == len(train)
    decoded.clear()
    assert list(fit_baselines(train, {"test": test}, ("majority",), progress=False)) == ["majority"]
    assert decoded == [], "nothing is heard for the majority"


def test_one_dialect_in_training_leaves_nothing_to_learn(test):
    found = fit_baselines(tones([1, 1, 1]), {"test": test}, progress=False)
    assert list(found) == list(BASELINES)
    assert all(one["test"].tolist() == [[0.0, 1.0, 0.0]] * 5 for one in found.values())


def test_progress_is_one_bar_over_every_recording(train, test, capsys):
    fit_baselines(train, {"test": test}, progress=True)
    lines = capsys.readouterr().err
    assert "baselines: 100%" in lines
    assert f"{len(train) + len(test)}/{len(train) + len(test)}" in lines


def folds_of(rows, k=3):
    parts = [[row for row in range(len(rows)) if row % k == fold] for fold in range(k)]
    kept = [[row for row in range(len(rows)) if row % k not in (fold, (fold + 1) % k)] for fold in range(k)]
    return [{"train": rows.select(train), "test": rows.select(test)} for train, test in zip(kept, parts, strict=True)]


def test_folds_equal_their_baselines_one_by_one(train):
    folds = folds_of(train)
    found = fold_baselines(folds, progress=False)
    assert list(found) == list(BASELINES)
    alone = [fit_baselines(fold["train"], {"test": fold["test"]}, progress=False) for fold in folds]
    for name, probabilities in found.items():
        np.testing.assert_array_equal(probabilities, np.concatenate([one[name]["test"] for one in alone]))


def test_names_are_all_none_or_a_list_in_any_order():
    assert baseline_names() == baseline_names(True) == baseline_names(None) == BASELINES
    assert baseline_names(False) == baseline_names([]) == ()
    assert baseline_names(["non-speech", "majority", "majority"]) == ("majority", "non-speech")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            ["duration", "length"],
            "evaluation.baselines names 'length'; valid are: majority, mel statistics, duration, ",
        ),
        ([True], "evaluation.baselines names True; valid are: majority"),
        ([["duration"]], r"evaluation.baselines names \['duration'\]; valid are"),
        ("duration", "evaluation.baselines is 'duration'; give true, false or a list of: majority, mel statistics, "),
        (1, "evaluation.baselines is 1; give true, false or a list"),
    ],
)
def test_names_that_are_none_list_the_valid_ones(wanted, message):
    with pytest.raises(RecipeError, match=message):
        baseline_names(wanted)


def test_no_baselines_ask_nothing_of_the_corpus(test):
    assert fit_baselines(tones([]), {"test": test}, ()) == {}
    assert fold_baselines([], ()) == {}
