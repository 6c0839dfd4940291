"""The classifier over each encoder: what trains, what is saved, and what padding, mixing and labels do."""

import numpy as np
import pytest
import tiny
import torch
from transformers import AutoModelForCTC, Wav2Vec2Config, Wav2Vec2ForCTC, WhisperModel

from hf_dialects.models.encoder_dialect import load_encoder, minimum_input, padding_leaks
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification, DialectModel

KINDS = list(tiny.ENCODERS)


def inputs(kind: str, seconds: list[float]) -> dict[str, torch.Tensor]:
    return dict(
        extract(tiny.feature_extractor(kind), [tiny.waveform(length, seed) for seed, length in enumerate(seconds)])
    )


@pytest.mark.parametrize("layer", [-1, 0, 1, "weighted"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradient_reaches_every_unfrozen_parameter(kind, layer):
    model = tiny.model(
        kind, layer=layer, pooling="attention", objective="supcon", projection_size=8, classifier_hidden=8
    ).train()
    model(**inputs(kind, [0.9, 0.6, 0.8, 0.7]), labels=torch.tensor([0, 0, 1, 1])).loss.backward()
    without = [
        name for name, one in model.named_parameters() if one.requires_grad and (one.grad is None or not one.grad.any())
    ]
    assert without == []


@pytest.mark.parametrize("kind", KINDS)
def test_thirty_steps_fit_sixteen_clips(kind):
    model = tiny.model(kind, pooling="mean", classifier_hidden=16).train()
    model.dialect.encoder.config.apply_spec_augment = False
    times = np.arange(int(0.5 * tiny.RATE)) / tiny.RATE
    rng = np.random.default_rng(0)
    labels = torch.arange(16) % 3
    heard = times < 0.25  # extractors take the mean of every bin away: only a tone that stops is left
    tones = [heard * np.sin(2 * np.pi * (400 + 700 * int(label)) * times) for label in labels]
    clips = [(tone + 0.05 * rng.standard_normal(len(times))).astype(np.float32) for tone in tones]
    batch = dict(extract(tiny.feature_extractor(kind), clips))
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    losses = []
    for _ in range(30):
        loss = model(**batch, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_padding_never_changes_an_utterance(kind):
    model, lengths = tiny.model(kind, pooling="statistics"), [0.5, 1.0, 0.31]
    together = model(**inputs(kind, lengths)).logits
    extractor = tiny.feature_extractor(kind)
    for row, length in enumerate(lengths):
        alone = model(**extract(extractor, [tiny.waveform(length, row)])).logits[0]
        assert torch.allclose(alone, together[row], atol=1e-5)


def test_group_normalised_fronts_are_known_to_mix_in_padding():
    config = Wav2Vec2Config(
        **tiny.SIZE | {"num_hidden_layers": 1},
        **tiny.FRONT | {"feat_extract_norm": "group", "do_stable_layer_norm": False},
    )
    assert padding_leaks(config)
    assert not padding_leaks(tiny.ENCODERS["wav2vec2"]())


@pytest.mark.parametrize("kind", KINDS)
def test_bf16_and_gradient_checkpointing_train(kind):
    model = tiny.model(kind).to(torch.bfloat16).train()
    model.gradient_checkpointing_enable()
    loss = model(**inputs(kind, [0.6, 0.8]), labels=torch.tensor([0, 1])).loss
    loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(one.grad).all() for one in model.parameters() if one.grad is not None)


def test_checkpointed_gradients_equal_plain_ones():
    batch, labels = inputs("wav2vec2", [0.6, 0.8]), torch.tensor([0, 1])
    gradients = []
    for checkpointing in (False, True):
        model = tiny.model("wav2vec2")
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        model.dialect.encoder.config.apply_spec_augment = False
        model.train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(**batch, labels=labels).loss.backward()
        gradients.append(model.classifier[0].weight.grad)
    assert torch.allclose(*gradients, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_encoder_weights_are_taken_bit_equal(kind, tmp_path):
    model = tiny.model(kind)
    model.dialect.encoder.save_pretrained(tmp_path)
    if kind == "whisper":  # Hub checkpoints hold encoder and decoder
        whole = WhisperModel(model.dialect.encoder.config)
        whole.encoder.load_state_dict(model.dialect.encoder.state_dict())
        whole.save_pretrained(tmp_path)
    new = DialectForAudioClassification.from_encoder_pretrained(
        str(tmp_path), id2label=model.config.id2label, pooling="max"
    )
    for name, tensor in model.dialect.encoder.state_dict().items():
        assert torch.equal(tensor, new.dialect.encoder.state_dict()[name]), name
    assert torch.isfinite(new(**inputs(kind, [0.5])).logits).all()


def test_encoder_of_a_ctc_checkpoint_is_taken_bit_equal(tmp_path):
    config = tiny.ENCODERS["wav2vec2"]()
    config.vocab_size = 11
    whole = Wav2Vec2ForCTC(config)
    whole.save_pretrained(tmp_path)
    assert AutoModelForCTC.from_pretrained(tmp_path).lm_head.out_features == 11
    encoder = load_encoder(str(tmp_path))
    for name, tensor in whole.wav2vec2.state_dict().items():
        assert torch.equal(tensor, encoder.state_dict()[name]), name


def test_checkpoint_without_some_encoder_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny.model("hubert").dialect.encoder.save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = [name for name in weights if "layers.1" in name]
    save_file(
        {name: weights[name] for name in weights if name not in lost},
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(ValueError, match=rf"no weights for {len(lost)} encoder parameters.*truncated"):
        DialectForAudioClassification.from_encoder_pretrained(str(tmp_path), id2label={0: "a", 1: "b"})


def test_layerdrop_is_off_and_overrides_are_checked(tmp_path):
    config = tiny.ENCODERS["wav2vec2"]()
    config.layerdrop = 0.1
    tiny.model("wav2vec2").dialect.encoder.__class__(config).save_pretrained(tmp_path)
    model = DialectModel.from_encoder_pretrained(str(tmp_path), encoder_overrides={"mask_time_prob": 0.0})
    assert model.encoder.config.layerdrop == 0.0
    assert model.encoder.config.mask_time_prob == 0.0
    with pytest.raises(ValueError, match="'mask_tim_prob', which the wav2vec2 configuration lacks"):
        DialectModel.from_encoder_pretrained(str(tmp_path), encoder_overrides={"mask_tim_prob": 0.0})


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_reloaded_bit_equal(kind, tmp_path):
    model = tiny.model(kind, layer="weighted", pooling="attentive_statistics", classifier_hidden=8)
    model.save_pretrained(tmp_path)
    again = DialectForAudioClassification.from_pretrained(tmp_path)
    batch = inputs(kind, [0.7, 0.4])
    assert torch.equal(model(**batch).logits, again(**batch).logits)
    assert torch.equal(model(**batch).embeddings, DialectModel.from_pretrained(tmp_path)(**batch).embeddings)


def test_freezing():
    model = tiny.model("wav2vec2")
    model.freeze_encoder(2)
    frozen = {name for name, one in model.dialect.encoder.named_parameters() if not one.requires_grad}
    assert all(name.startswith(("feature_extractor", "encoder.layers.0", "encoder.layers.1")) for name in frozen)
    assert any(name.startswith("encoder.layers.1") for name in frozen)
    model.freeze_encoder()
    assert not any(one.requires_grad for one in model.dialect.encoder.parameters())
    with pytest.raises(ValueError, match="n_layers is 9, the encoder has 3 blocks"):
        model.freeze_encoder(9)


def test_training_accepts_clips_shorter_than_a_time_mask():
    model = tiny.model("wav2vec2").train()
    assert model.dialect.encoder.config.apply_spec_augment
    assert model.dialect.encoder.config.mask_time_prob > 0
    loss = model(**inputs("wav2vec2", [0.03, 0.03]), labels=torch.tensor([0, 1])).loss
    assert torch.isfinite(loss)


def test_receptive_field():
    assert minimum_input(Wav2Vec2Config()) == 400
    assert minimum_input(tiny.ENCODERS["whisper"]()) == 1


def no_dropout(kind="whisper", **options):
    model = tiny.model(kind, **options).train()
    assert not any(one.p for one in model.modules() if isinstance(one, torch.nn.Dropout)), (
        "dropout would hide what is tested"
    )
    return model


def test_class_weights_smoothing_and_soft_targets_by_hand():
    model = no_dropout(class_weights=[1.0, 2.0, 6.0], label_smoothing=0.3)
    batch, labels = inputs("whisper", [0.5, 0.9]), torch.tensor([0, 2])
    output = model(**batch, labels=labels)
    log_p = output.logits.double().log_softmax(-1)
    weights = torch.tensor([1.0, 2.0, 6.0]) / 3
    smoothed = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    expected = -(weights * smoothed * log_p).sum() / 2
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    soft = torch.tensor([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]])
    expected = -(weights * soft * log_p).sum() / 2
    assert model(**batch, labels=soft).loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_mixing_by_hand():
    model = no_dropout()
    batch, labels = inputs("whisper", [0.5, 0.9, 0.7]), torch.tensor([0, 2, 1])
    plain = model(**batch)
    index, weight = torch.tensor([2, 0, -1]), torch.tensor([0.7, 0.4, 0.9])
    output = model(**batch, labels=labels, mixup_index=index, mixup_weight=weight)
    z = plain.embeddings
    assert torch.equal(output.embeddings, z)
    assert torch.allclose(output.clean_logits, plain.logits, atol=1e-6)
    mixed = torch.stack([0.7 * z[0] + 0.3 * z[2], 0.4 * z[1] + 0.6 * z[0], z[2]])
    logits = model.classifier(mixed)
    assert torch.allclose(output.logits, logits, atol=1e-6)
    targets = torch.tensor([[0.7, 0.3, 0.0], [0.6, 0.0, 0.4]])
    expected = -(targets * logits[:2].log_softmax(-1)).sum() / 2  # the last row is only a partner
    assert output.loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_one_weight_for_the_whole_batch_equals_one_per_row():
    model, batch = no_dropout(), inputs("whisper", [0.5, 0.9])
    options = {"labels": torch.tensor([0, 1]), "mixup_index": torch.tensor([1, 0])}
    one = model(**batch, **options, mixup_weight=torch.tensor(0.6)).loss
    assert torch.equal(one, model(**batch, **options, mixup_weight=torch.full((2,), 0.6)).loss)


def test_clean_logits_draw_no_random_numbers_and_ignore_dropout():
    model = tiny.model("whisper", classifier_dropout=0.5).train()
    batch = inputs("whisper", [0.5, 0.9])
    model(**batch)  # whatever the first pass draws
    options = {"mixup_index": torch.tensor([1, 0]), "mixup_weight": torch.tensor(0.5)}
    torch.manual_seed(3)
    mixed = model(**batch, **options)
    state = torch.get_rng_state()
    torch.manual_seed(3)
    model(**batch)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.allclose(mixed.clean_logits, model.eval()(**batch).logits, atol=1e-6)
    assert not mixed.clean_logits.requires_grad


def test_contrastive_term_uses_unmixed_embeddings_of_all_rows():
    from hf_dialects.models.objectives_dialect import build_objective

    model = no_dropout(objective="supcon", contrastive_weight=0.5)
    batch, labels = inputs("whisper", [0.5, 0.9, 0.7, 0.6]), torch.tensor([0, 0, 1, 1])
    output = model(**batch, labels=labels, mixup_index=torch.tensor([2, -1, 1, -1]), mixup_weight=torch.tensor(0.7))
    expected = build_objective("supcon")(output.embeddings, labels)
    assert output.contrastive_loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert output.loss.item() == pytest.approx((output.cross_entropy_loss + 0.5 * expected).item(), rel=1e-6)
    assert model(**batch, labels=labels, contrastive=False).contrastive_loss is None


def test_labels_outside_the_classes_are_named():
    model, batch = tiny.model("whisper"), inputs("whisper", [0.5, 0.5])
    with pytest.raises(ValueError, match=r"labels run from 0 to 3, but the model has 3 classes .*north, south, west"):
        model(**batch, labels=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match=r"labels must be \(B,\) integers"):
        model(**batch, labels=torch.tensor([0.0, 1.0]))
    with pytest.raises(ValueError, match="without mixup_weight"):
        model(**batch, mixup_index=torch.tensor([1, 0]))


def test_wrong_input_is_named():
    with pytest.raises(ValueError, match="wav2vec2 encoder takes input_values"):
        tiny.model("wav2vec2")(input_features=torch.zeros(1, 10, 20))
    with pytest.raises(ValueError, match=r"120 feature frames, the whisper encoder takes 100"):
        tiny.model("whisper")(input_features=torch.zeros(1, 20, 120))


@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_encode(kind):
    model, extractor = tiny.model(kind), tiny.feature_extractor(kind)
    waveforms = [tiny.waveform(0.8, 1), tiny.waveform(0.5, 2)]
    together = model(**extract(extractor, waveforms)).embeddings.detach().numpy()
    embeddings = model.encode(waveforms, extractor)
    assert embeddings.shape == (2, 32)
    assert np.allclose(embeddings, together, atol=1e-5)
    assert np.allclose(model.encode(waveforms[0], extractor), embeddings[0], atol=1e-6)
    frames = model.encode(waveforms, extractor, frames=True, layer=1)
    assert [one.ndim for one in frames] == [2, 2]
    assert len(frames[0]) > len(frames[1])
    assert np.allclose(model.encode(waveforms, extractor, frames=True)[0].mean(0), embeddings[0], atol=1e-5)
