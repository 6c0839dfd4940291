"""Heads on a frozen encoder: cache, choice of layer, and the exported model's predictions."""

import numpy as np
import pytest
import tiny

from hf_dialects.data.synthetic import load_fixture
from hf_dialects.errors import RecipeError
from hf_dialects.inference import Predictions, predict
from hf_dialects.saving import load_for_inference
from hf_dialects.training.frozen import fit_head, frozen_on
from hf_dialects.training.recipe import make_recipe
from hf_dialects.training.run import screen_splits
from hf_dialects.training.window_features import WindowFeatures, wanted_layers, window_features

WHISPER = {"model_type": "whisper"} | tiny.WHISPER


def recipe(**model):
    section = {
        "encoder": WHISPER,
        "features": {"feature_size": 20},
        "pooling": "statistics",
        "window_s": 1.0,
        "stride_s": 0.5,
    } | model
    return make_recipe(
        {"data": {"source": "fixture"}, "model": section, "evaluation": {"draws": 50, "baselines": False}}
    )


@pytest.fixture(scope="module")
def screened():
    corpus = load_fixture()
    small = {name: split.select(range(0, len(split), 2)) for name, split in corpus.items()}
    return screen_splits(type(corpus)(small), ("speaker",), progress=False)


@pytest.mark.parametrize("hidden", [None, 8])
def test_exported_model_gives_the_predictions_of_the_cached_features(screened, tmp_path, hidden):
    results = frozen_on(
        screened, recipe(classifier_hidden=hidden), tmp_path / "run", tmp_path / "cache", "0,2,3", progress=False
    )
    assert results["selected_on"]["layer"] in (0, 2, 3)
    model, extractor = load_for_inference(tmp_path / "run")
    assert model.config.layer == results["selected_on"]["layer"]
    again = predict(model, extractor, screened.splits["test"], progress=False)
    kept = Predictions.read(tmp_path / "run" / "predictions" / "test.parquet")
    assert again.ids == kept.ids
    assert np.abs(again.probabilities - kept.probabilities).max() < 1e-4
    assert (again.windows == kept.windows).all()


def test_features_are_computed_once_and_survive_an_interruption(screened, tmp_path, monkeypatch):
    from hf_dialects.training import window_features as module

    monkeypatch.setattr(module, "SHARD", 10)
    model, extractor = tiny.model("whisper"), tiny.feature_extractor("whisper")
    corpus = screened.splits["test"]
    first = window_features(model, extractor, corpus, [1, 3], tmp_path, progress=False)
    shards = sorted(tmp_path.glob("*.safetensors"))
    assert len(shards) == -(-len(corpus) // 10)
    shards[-1].unlink()
    shards[0].with_suffix(".partial").write_bytes(b"half a file")
    calls = []
    computed = module._shard
    monkeypatch.setattr(module, "_shard", lambda *arguments: calls.append(1) or computed(*arguments))
    again = window_features(model, extractor, corpus, [1, 3], tmp_path, progress=False)
    assert len(calls) == 1
    for layer in (1, 3):
        assert np.array_equal(first.layers[layer], again.layers[layer])
    other = tiny.model("whisper", seed=1)
    window_features(other, extractor, corpus, [1, 3], tmp_path, progress=False)
    assert len(calls) == 1 + len(shards), "another model must not take these features"


def test_selecting_recordings_keeps_their_windows():
    features = WindowFeatures(["a", "b", "c"], np.array([0, 0, 1, 2, 2, 2]), {1: np.arange(12).reshape(6, 2)})
    chosen = features.select(["c", "a"])
    assert chosen.owner.tolist() == [0, 0, 0, 1, 1]
    assert chosen.layers[1][:, 0].tolist() == [6, 8, 10, 0, 2]


@pytest.mark.parametrize(("hidden", "classes"), [(None, 3), (None, 2), (6, 2), (6, 3)])
def test_folded_scaling_equals_scikit_learn(hidden, classes):
    from scipy.special import softmax
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(0)
    gold = np.arange(40) % classes
    values = rng.standard_normal((40, 5)) * [1, 10, 100, 1, 1] + 7 + gold[:, None]
    features = WindowFeatures([str(i) for i in range(40)], np.arange(40), {0: values.astype(np.float32)})
    linears = fit_head(features, 0, gold, classes + 1, 0.1, hidden, seed=0)
    assert linears[-1][0].shape[0] == classes + 1
    out = values.astype(np.float32).astype(float)
    for index, (weight, bias) in enumerate(linears):
        out = out @ weight.T + bias
        if index < len(linears) - 1:
            out = np.maximum(out, 0)
    found = softmax(out, axis=1)
    assert (found[:, classes] < 1e-6).all(), "a class without training examples must not be predicted"
    assert (found.argmax(1) == gold).mean() > 0.6
    if not hidden:
        scaled = StandardScaler().fit_transform(features.layers[0].astype(float))
        expected = LogisticRegression(C=0.1, max_iter=2000).fit(scaled, gold).predict_proba(scaled)
        assert np.abs(found[:, :classes] - expected).max() < 1e-3


def test_layers_are_parsed_and_checked():
    model = tiny.model("whisper")
    assert wanted_layers(None, model) == [3]
    assert wanted_layers("all", model) == [0, 1, 2, 3]
    assert wanted_layers("-1,1", model) == [1, 3]
    with pytest.raises(RecipeError, match=r"layer 9 is outside the encoder: it has 0 .* to 3"):
        wanted_layers("9", model)
    with pytest.raises(RecipeError, match="layers is 'last'"):
        wanted_layers("last", model)


def test_pooling_that_has_to_be_learnt_is_refused(screened, tmp_path):
    with pytest.raises(RecipeError, match=r"model.pooling is 'attention', which has to be learnt"):
        frozen_on(screened, recipe(pooling="attention"), tmp_path / "run", tmp_path / "cache", None, progress=False)
