"""Stock classifiers have the logits of the dialect models they come from, padded and not; others are refused."""

import json

import pytest
import tiny
import torch
from transformers import AutoModelForAudioClassification

from hf_dialects.errors import CheckpointError
from hf_dialects.hub.plain import plain_model, write_plain
from hf_dialects.models.modeling_dialect import DialectModel
from hf_dialects.saving import save_for_hub

STOCK = ("wav2vec2", "hubert", "wavlm")


@pytest.mark.parametrize("front", ["layer", "group"])
@pytest.mark.parametrize("encoder", STOCK)
def test_logits_are_equal_with_padding_and_without(tmp_path, encoder, front, monkeypatch):
    monkeypatch.setitem(tiny.FRONT, "feat_extract_norm", front)
    monkeypatch.setitem(tiny.FRONT, "do_stable_layer_norm", front == "layer")
    model, extractor = tiny.model(encoder, classifier_dropout=0.3), tiny.feature_extractor(encoder)
    save_for_hub(model, extractor, tmp_path / "dialect")
    write_plain(tmp_path / "dialect", tmp_path / "plain")
    stock, report = AutoModelForAudioClassification.from_pretrained(tmp_path / "plain", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert type(stock).__name__.endswith("ForSequenceClassification")
    assert stock.config.id2label == dict(enumerate(tiny.LABELS))
    clips = [tiny.waveform(seconds, seed) for seed, seconds in enumerate((1.2, 0.5, 0.9))]
    for batch in (clips, clips[:1]):
        inputs = extractor(batch, sampling_rate=tiny.RATE, padding=True, return_tensors="pt")
        with torch.no_grad():
            expected, found = model(**inputs).logits, stock.eval()(**inputs).logits
            without_mask = stock(inputs["input_values"]).logits
        assert found == pytest.approx(expected, abs=1e-5)
        assert expected.std() > 1e-4
    assert without_mask == pytest.approx(expected, abs=1e-5), "of one clip alone"
    settings = json.loads((tmp_path / "plain" / "config.json").read_text())
    assert "auto_map" not in settings
    assert {path.suffix for path in (tmp_path / "plain").iterdir()} == {".json", ".safetensors"}


@pytest.mark.parametrize(
    ("encoder", "options", "reason"),
    [
        ("whisper", {}, "its encoder is whisper"),
        ("wav2vec2-bert", {}, "its encoder is wav2vec2-bert"),
        ("wav2vec2", {"pooling": "statistics"}, "its pooling is statistics"),
        ("hubert", {"layer": 2}, "it pools layer 2 of 3"),
        ("wavlm", {"layer": "weighted"}, "it pools layer weighted of 3"),
        ("wav2vec2", {"classifier_hidden": 8}, "its head has a hidden layer"),
    ],
)
def test_what_has_no_stock_equal_is_refused_with_the_reason(encoder, options, reason):
    with pytest.raises(CheckpointError, match=f"--plain cannot write this model: {reason}. A stock classifier takes"):
        plain_model(tiny.model(encoder, **options))


def test_an_encoder_is_no_classifier(tmp_path):
    model = tiny.model("wav2vec2").base_model
    assert isinstance(model, DialectModel)
    with pytest.raises(CheckpointError, match="it is a DialectModel, no dialect classifier"):
        plain_model(model)


def test_logits_that_differ_are_refused(tmp_path, monkeypatch):
    save_for_hub(tiny.model("wav2vec2"), tiny.feature_extractor("wav2vec2"), tmp_path / "dialect")

    def wrong(model):
        stock = plain_model(model)
        stock.classifier.bias.data += 0.1
        return stock

    monkeypatch.setattr("hf_dialects.hub.plain.plain_model", wrong)
    with pytest.raises(CheckpointError, match=r"gives other logits than the dialect model \(by 0\.1\)"):
        write_plain(tmp_path / "dialect", tmp_path / "plain")
    assert not (tmp_path / "plain").exists()
