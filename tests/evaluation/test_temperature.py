"""hf_dialects.evaluation.temperature: planted temperatures, plain loops, and where the number goes."""

import json

import numpy as np
import pytest
import tiny
from datasets import ClassLabel, Dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_dialects.data.audio import encode
from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import CheckpointError, CorpusError, DialectError, RecipeError
from hf_dialects.evaluation.groups import find_groups
from hf_dialects.evaluation.results import describe
from hf_dialects.evaluation.standalone import evaluate_model
from hf_dialects.evaluation.temperature import (
    calibrate,
    cross_fitted,
    describe_calibration,
    fit_temperature,
)
from hf_dialects.inference import Predictions, WindowLogits, predict
from hf_dialects.metrics import expected_calibration_error, negative_log_likelihood
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.models.pipeline_dialect import DialectPipeline
from hf_dialects.saving import load_for_inference, save_for_hub, set_temperature
from hf_dialects.training.frozen import frozen_on
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import screen_splits, train_on

LABELS = ["north", "south", "isle"]


def simulated(n=3000, planted=2.5, windows=(1, 4), seed=0, prefix="u", speakers=60):
    """Recordings whose labels are drawn from the mean softmax of their windows' logits; the model multiplies these."""
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(n), random.integers(windows[0], windows[1] + 1, size=n))
    true = WindowLogits(owner, random.normal(size=(n, 3))[owner] * 1.5 + random.normal(size=(len(owner), 3)))
    probabilities = true.probabilities()
    gold = (random.random(n)[:, None] > probabilities.cumsum(1)).sum(1)
    given = WindowLogits(owner, true.logits * planted)
    rows = Dataset.from_dict(
        {
            "id": [f"{prefix}{i}" for i in range(n)],
            "dialect": gold.tolist(),
            "speaker": [f"{prefix}-s{i % speakers}" for i in range(n)],
        }
    ).cast_column("dialect", ClassLabel(names=LABELS))
    ones = np.ones(n)
    made = Predictions(list(rows["id"]), gold, given.probabilities(), np.bincount(owner), ones, window_logits=given)
    return rows, made


def loss_by_loop(windows, gold, temperature):
    total = 0.0
    for recording, label in enumerate(gold):
        each = []
        for logits in windows.logits[windows.owner == recording]:
            exponents = np.exp((logits - logits.max()) / temperature)
            each.append(exponents[label] / exponents.sum())
        total -= np.log(np.mean(each))
    return total / len(gold)


@pytest.mark.parametrize("planted", [0.4, 1.0, 2.5])
def test_a_planted_temperature_is_found(planted):
    rows, made = simulated(planted=planted)
    assert fit_temperature(made.window_logits, made.gold) == pytest.approx(planted, rel=0.06)
    found = calibrate({"validation": made}, {"validation": rows}, LABELS, draws=20)
    before, after = (found["splits"]["validation"][when] for when in ("before", "after"))
    assert after["ece"]["value"] < 2.5 * after["ece"]["floor"]
    if planted != 1:
        assert before["ece"]["value"] > 4 * before["ece"]["floor"]
        assert after["nll"]["value"] < before["nll"]["value"]
        assert after["brier"]["value"] < before["brier"]["value"]


def test_the_fitted_temperature_has_the_lowest_loss_of_recordings():
    _, made = simulated(n=80, seed=3)
    best = fit_temperature(made.window_logits, made.gold)
    lowest = loss_by_loop(made.window_logits, made.gold, best)
    assert lowest == pytest.approx(negative_log_likelihood(made.window_logits.probabilities(best), made.gold))
    for other in (0.05, best / 1.5, best * 0.98, best * 1.02, best * 1.5, 20):
        assert loss_by_loop(made.window_logits, made.gold, other) > lowest


def test_the_temperature_acts_before_the_mean():
    windows = WindowLogits(np.array([0, 0]), np.array([[2.0, 0.0], [-3.0, 0.0]]))
    each = 1 / (1 + np.exp(-np.array([2.0, -3.0]) / 2))
    assert windows.probabilities(2.0)[0, 0] == pytest.approx(each.mean())
    mean = windows.probabilities()[0]
    after = (mean**0.5 / (mean**0.5).sum())[0]
    assert abs(windows.probabilities(2.0)[0, 0] - after) > 0.01, "the same on the mean gives another number"
    _, made = simulated(n=60)
    by_loop = np.array(
        [
            np.mean(
                [
                    np.exp(one / 1.7) / np.exp(one / 1.7).sum()
                    for one in made.window_logits.logits[made.window_logits.owner == row]
                ],
                axis=0,
            )
            for row in range(60)
        ]
    )
    assert made.window_logits.probabilities(1.7) == pytest.approx(by_loop, abs=1e-12)


def test_windows_of_one_recording_need_not_lie_together():
    _, made = simulated(n=200)
    windows = made.window_logits
    order = np.random.default_rng(0).permutation(len(windows.owner))
    shuffled = WindowLogits(windows.owner[order], windows.logits[order])
    assert shuffled.probabilities(1.3) == pytest.approx(windows.probabilities(1.3))
    assert fit_temperature(shuffled, made.gold) == pytest.approx(fit_temperature(windows, made.gold), rel=1e-5)


def test_only_chosen_and_labelled_recordings_are_fitted_on():
    _, cold = simulated(n=1000, planted=3.0, seed=1)
    _, hot = simulated(n=1000, planted=0.5, seed=2)
    owner = np.append(cold.window_logits.owner, 1000 + hot.window_logits.owner)
    both = WindowLogits(owner, np.concatenate([cold.window_logits.logits, hot.window_logits.logits]))
    gold = np.append(cold.gold, hot.gold)
    expected = fit_temperature(cold.window_logits, cold.gold)
    assert fit_temperature(both, gold, np.arange(1000)) == pytest.approx(expected, rel=1e-6)
    gold[1000:] = -1
    assert fit_temperature(both, gold) == pytest.approx(expected, rel=1e-6)
    with pytest.raises(CorpusError, match="no recording has a gold label"):
        fit_temperature(both, np.full(2000, -1))


def test_without_an_error_the_end_of_the_range_is_taken_and_said():
    windows = WindowLogits(np.arange(4), 5 * np.eye(3)[[0, 1, 2, 0]])
    rows, _ = simulated(n=4, speakers=4)
    made = Predictions(list(rows["id"]), np.array([0, 1, 2, 0]), windows.probabilities(), np.ones(4), np.ones(4))
    made.window_logits = windows
    found = calibrate({"validation": made}, {"validation": rows}, LABELS, draws=10)
    assert found["temperature"] < 0.06
    assert found["at_bound"]
    assert "an end of what was searched" in describe_calibration(found)


def test_cross_fitting_never_uses_the_own_speaker():
    rows, made = simulated(n=300, speakers=12)
    groups = find_groups(rows, made.ids, made.gold)
    probabilities, temperatures = cross_fitted(made.window_logits, made.gold, groups)
    assert len(temperatures) == 5
    of_row = np.array(
        [
            int(
                np.argmin(
                    [abs(made.window_logits.probabilities(t)[row] - probabilities[row]).max() for t in temperatures]
                )
            )
            for row in range(300)
        ]
    )
    speakers = np.array(rows["speaker"])
    for fold, temperature in enumerate(temperatures):
        others = np.flatnonzero(of_row != fold)
        assert not set(speakers[others]) & set(speakers[of_row == fold])
        assert temperature == fit_temperature(made.window_logits, made.gold, others)
        assert 2 <= len(set(speakers[of_row == fold])) <= 3
    again = cross_fitted(made.window_logits, made.gold, groups)
    assert (again[0] == probabilities).all()
    assert cross_fitted(made.window_logits, made.gold, groups, seed=1)[1] != temperatures


def test_speakers_of_one_dialect_are_dealt_out_over_the_folds():
    gold = np.repeat([0, 1, 2], 40)
    speaker = np.repeat([f"s{i}" for i in range(12)], 10)  # four in each dialect
    rows = Dataset.from_dict({"id": [str(i) for i in range(120)], "dialect": gold, "speaker": speaker})
    groups = find_groups(rows, list(rows["id"]), gold)
    assert groups.nested
    planted = np.random.default_rng(0).normal(size=(120, 3)) + np.eye(3)[gold]
    probabilities, temperatures = cross_fitted(WindowLogits(np.arange(120), planted), gold, groups, folds=4)
    each = np.stack([WindowLogits(np.arange(120), planted).probabilities(t) for t in temperatures])
    fold = np.abs(each - probabilities).max(2).argmin(0)
    for number in range(4):
        assert {int(gold[fold == number][i]) for i in range(0, 30, 10)} == {0, 1, 2}


def test_what_is_told_of_validation_is_cross_fitted_and_of_test_is_not():
    splits, predictions = {}, {}
    for seed, name in enumerate(["validation", "test"]):
        splits[name], predictions[name] = simulated(n=400, seed=seed, prefix=name)
    found = calibrate(predictions, splits, LABELS, draws=50)
    assert found["selected_on"] == {
        "split": "validation", "by": "nll", "n": 400, "groups": 60, "group_unit": "speaker"
    }  # fmt: skip
    assert found["temperature"] == fit_temperature(
        predictions["validation"].window_logits, predictions["validation"].gold
    )
    made, groups = (
        predictions["validation"],
        find_groups(splits["validation"], predictions["validation"].ids, predictions["validation"].gold),
    )
    probabilities, temperatures = cross_fitted(made.window_logits, made.gold, groups)
    assert found["fold_temperatures"] == temperatures
    validation, test = found["splits"]["validation"], found["splits"]["test"]
    assert (validation["cross_fitted"], test["cross_fitted"]) == (True, False)
    assert validation["after"]["nll"]["value"] == negative_log_likelihood(probabilities, made.gold)
    in_sample = negative_log_likelihood(made.window_logits.probabilities(found["temperature"]), made.gold)
    assert validation["after"]["nll"]["value"] > in_sample
    after = predictions["test"].window_logits.probabilities(found["temperature"])
    assert test["after"]["ece"]["value"] == expected_calibration_error(after, predictions["test"].gold)
    assert test["before"]["ece"]["value"] == expected_calibration_error(
        predictions["test"].probabilities, predictions["test"].gold
    )
    for entry in (validation["before"], validation["after"], test["before"], test["after"]):
        assert set(entry) == {"ece", "nll", "brier"}
        assert entry["nll"]["low"] < entry["nll"]["value"] < entry["nll"]["high"]
        assert entry["ece"]["floor"] > 0


def test_one_speaker_cannot_be_cross_fitted():
    rows, made = simulated(n=50, speakers=1)
    found = calibrate({"validation": made}, {"validation": rows}, LABELS, draws=10)
    assert (found["splits"]["validation"]["cross_fitted"], found["fold_temperatures"]) == (False, [])
    with pytest.raises(CorpusError, match="all recordings are of one speaker"):
        cross_fitted(made.window_logits, made.gold, find_groups(rows, made.ids, made.gold))


def test_recordings_without_a_label_are_left_out():
    rows, made = simulated(n=200)
    expected = calibrate({"validation": made}, {"validation": rows}, LABELS, draws=10)
    more = WindowLogits(
        np.append([0], made.window_logits.owner + 1), np.vstack([[[9.0, 0, 0]], made.window_logits.logits])
    )
    rows = Dataset.from_dict({"id": ["x", *rows["id"]], "speaker": [None, *rows["speaker"]]})
    probabilities = np.vstack([[[1.0, 0, 0]], made.probabilities])
    gold = np.append(-1, made.gold)
    unlabelled = Predictions(list(rows["id"]), gold, probabilities, np.ones(201), np.ones(201), window_logits=more)
    assert calibrate({"validation": unlabelled}, {"validation": rows}, LABELS, draws=10) == expected
    unlabelled.window_logits = None
    with pytest.raises(DialectError, match="'validation' hold no window logits; predict with window_logits=True"):
        calibrate({"validation": unlabelled}, {"validation": rows}, LABELS)


@given(st.integers(0, 10**6), st.floats(0.1, 10))
@settings(max_examples=20, deadline=None)
def test_multiplied_logits_multiply_the_temperature(seed, factor):
    _, made = simulated(n=150, planted=1.0, seed=seed)
    windows = made.window_logits
    scaled = WindowLogits(windows.owner, windows.logits * factor)
    found = fit_temperature(windows, made.gold)
    if 0.06 < found * factor < 18:
        assert fit_temperature(scaled, made.gold) == pytest.approx(found * factor, rel=1e-4)


@pytest.fixture(scope="module")
def recordings():
    seconds = (2.3, 0.4, 1.0, 1.7)
    cells = [{"bytes": encode(tiny.waveform(one, seed), tiny.RATE), "path": None} for seed, one in enumerate(seconds)]
    return Dataset.from_dict({"audio": cells, "id": list("abcd"), "dialect": [0, 1, 2, 0]})


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_predictions_keep_their_windows_and_temperature_1_changes_no_bit(recordings, kind):
    model, extractor = tiny.model(kind), tiny.feature_extractor(kind)
    plain = predict(model, extractor, recordings, batch_size=3, progress=False)
    kept = predict(model, extractor, recordings, batch_size=3, progress=False, window_logits=True)
    assert plain.window_logits is None
    assert (kept.probabilities == plain.probabilities).all()
    assert (kept.window_logits.probabilities(1.0) == kept.probabilities).all()
    assert np.bincount(kept.window_logits.owner).tolist() == kept.windows.tolist() == [4, 1, 1, 3]
    assert np.abs(kept.window_logits.probabilities(3.0) - kept.probabilities).max() > 1e-4


def test_windows_of_skipped_recordings_leave_no_gap(recordings):
    cells = [{"bytes": b"RIFF", "path": None}, *recordings["audio"]]
    broken = Dataset.from_dict({"audio": cells, "id": list("xabcd")})
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    found = predict(model, extractor, broken, progress=False, window_logits=True)
    assert (found.ids, np.bincount(found.window_logits.owner).tolist()) == (list("abcd"), [4, 1, 1, 3])


def test_the_temperature_is_saved_loaded_and_checked(tmp_path):
    folder = tmp_path / "model"
    model, extractor = tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2")
    assert model.config.temperature == 1.0
    save_for_hub(model, extractor, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    set_temperature(folder, 2.5)
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert {name for name in after if after[name] != before.get(name)} == {"config.json"}
    settings_before, settings_after = (json.loads(one["config.json"]) for one in (before, after))
    assert settings_after == settings_before | {"temperature": 2.5}
    loaded, _ = load_for_inference(folder)
    assert loaded.config.temperature == 2.5
    save_for_hub(loaded, extractor, tmp_path / "again")
    assert DialectConfig.from_pretrained(tmp_path / "again").temperature == 2.5
    # a new model around this one has a new head, and is not calibrated
    assert DialectForAudioClassification.from_encoder_pretrained(str(folder)).config.temperature == 1.0
    inputs = extractor([tiny.waveform(0.5)], sampling_rate=tiny.RATE, return_tensors="pt")
    assert (loaded(**inputs).logits == model(**inputs).logits).all(), "forward is not touched"
    with pytest.raises(ValueError, match="temperature must be a positive number, found 0"):
        set_temperature(folder, 0)
    with pytest.raises(ValueError, match="temperature must be a positive number, found -1"):
        tiny.model("wav2vec2", temperature=-1.0)
    with pytest.raises(CheckpointError, match="holds no dialect model, so it has no temperature"):
        set_temperature(tmp_path, 2.0)


def test_the_pipeline_applies_it_when_asked(recordings):
    pipe = DialectPipeline(model=tiny.model("wav2vec2"), feature_extractor=tiny.feature_extractor("wav2vec2"))
    cell = recordings[0]["audio"]["bytes"]
    plain = pipe(cell, top_k=None, windows=True)
    assert pipe(cell, top_k=None, windows=True, calibrated=True) == plain, "temperature 1"
    pipe.model.config.temperature = 0.2
    assert pipe(cell, top_k=None, windows=True) == plain
    found = predict(pipe.model, pipe.feature_extractor, recordings, progress=False, window_logits=True)
    expected = dict(zip(tiny.LABELS, found.window_logits.probabilities(0.2)[0], strict=True))
    answer = pipe(cell, top_k=None, windows=True, calibrated=True)
    assert {one["label"]: one["score"] for one in answer["labels"]} == pytest.approx(expected, abs=1e-5)
    assert answer["windows"][0]["scores"] != plain["windows"][0]["scores"]
    made_so = DialectPipeline(model=pipe.model, feature_extractor=pipe.feature_extractor, calibrated=True)
    assert made_so(cell, top_k=None, windows=True) == answer


def test_a_stock_model_has_no_temperature():
    from transformers import Wav2Vec2ForSequenceClassification

    stock = Wav2Vec2ForSequenceClassification(tiny.ENCODERS["wav2vec2"]()).eval()
    with pytest.raises(ValueError, match="a wav2vec2 model keeps no temperature"):
        DialectPipeline(model=stock, feature_extractor=tiny.feature_extractor("wav2vec2"), calibrated=True)


RECIPE = {
    "model": {
        "encoder": {"model_type": "whisper"} | tiny.WHISPER,
        "features": {"feature_size": 20},
        "window_s": 1.0,
        "stride_s": 0.5,
    },
    "training": {"num_train_epochs": 1, "batch_size": 32, "learning_rate": 5e-3, "use_cpu": True},
    "evaluation": {"draws": 20, "baselines": False, "temperature": True},
}


@pytest.fixture(scope="module")
def screened():
    return screen_splits(load_fixture(), ("speaker",), progress=False)


@pytest.fixture(scope="module")
def finished(screened, tmp_path_factory):
    folder = tmp_path_factory.mktemp("calibrated")
    return folder, train_on(screened, make_recipe(RECIPE), folder, progress=False)


def test_a_run_fits_it_on_validation_and_saves_it(finished, screened):
    folder, results = finished
    calibration = results["calibration"]
    model, extractor = load_for_inference(folder)
    made = predict(model, extractor, screened.splits["validation"], progress=False, window_logits=True)
    assert calibration["temperature"] == pytest.approx(fit_temperature(made.window_logits, made.gold), rel=1e-4)
    assert model.config.temperature == calibration["temperature"] == results["selected_on"]["temperature"]
    assert calibration["selected_on"]["split"] == "validation"
    # the fixture's validation is one voice
    assert calibration["selected_on"]["groups"] == 1
    assert not calibration["splits"]["validation"]["cross_fitted"]
    assert set(calibration["splits"]) == {"validation", "test"}
    # what the run scores elsewhere is the model as it was trained
    assert calibration["splits"]["test"]["before"]["nll"] == results["metrics"]["test"]["nll"]
    assert json.loads((folder / "results.json").read_text()) == json.loads(json.dumps(results))
    assert f"temperature {calibration['temperature']:.3f}, fitted on validation" in describe(results)


def test_evaluating_a_calibrated_model_tells_of_it(finished, screened, tmp_path):
    folder, results = finished
    screened.splits["test"].save_to_disk(tmp_path / "corpus")
    again = evaluate_model(folder, tmp_path / "corpus", tmp_path / "out", progress=False)
    assert again["calibration"]["temperature"] == results["calibration"]["temperature"]
    assert again["calibration"]["selected_on"] is None
    after, expected = (one["calibration"]["splits"] for one in (again, results))
    assert after["all"]["after"]["nll"]["value"] == pytest.approx(expected["test"]["after"]["nll"]["value"], abs=1e-6)
    assert "the model's own" in describe(again)


def test_a_head_on_a_frozen_encoder_is_calibrated_too(screened, tmp_path):
    results = frozen_on(screened, make_recipe(RECIPE), tmp_path, tmp_path / "features", None, progress=False)
    model, extractor = load_for_inference(tmp_path)
    made = predict(model, extractor, screened.splits["validation"], progress=False, window_logits=True)
    assert model.config.temperature == results["calibration"]["temperature"]
    assert fit_temperature(made.window_logits, made.gold) == pytest.approx(model.config.temperature, rel=1e-2)


def test_a_recipe_asks_for_it_and_cannot_set_it():
    assert make_recipe({"evaluation": {"temperature": True}}).evaluation == {"temperature": True}
    with pytest.raises(RecipeError, match=r"unknown key model\.temperature"):
        make_recipe({"model": {"temperature": 2.0}})
