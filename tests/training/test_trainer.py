"""Training: same seed same model, workers and resuming change nothing, losses are logged by part."""

import numpy as np
import pytest
import tiny
import torch
from datasets import Dataset

from hf_dialects.data.clips import Clips
from hf_dialects.data.spectral_augment import SpectralAugment
from hf_dialects.data.streamed_clips import StreamedClips
from hf_dialects.errors import DialectError, RecipeError
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.trainer import DialectTrainer, classification_metrics


def wav(seconds: float, seed: int) -> dict:
    import io

    import soundfile

    file = io.BytesIO()
    soundfile.write(file, tiny.waveform(seconds, seed), tiny.RATE, format="WAV", subtype="FLOAT")
    return {"bytes": file.getvalue(), "path": None}


def corpus(n: int) -> Dataset:
    return Dataset.from_dict(
        {
            "id": [f"clip-{i}" for i in range(n)],
            "dialect": [i % 3 for i in range(n)],
            "audio": [wav(0.3 + 0.05 * (i % 7), i) for i in range(n)],
        }
    )


def clips(n: int, training: bool = True, **options) -> Clips:
    extractor = tiny.feature_extractor("whisper")
    options = {
        "analyse": extractor.log_mel,
        "hop": extractor.hop_length,
        "window": extractor.window_length,
        "longest_frames": 100,
    } | options
    return Clips(corpus(n), training=training, seed=1, crop_s=0.4, spectral_augment=SpectralAugment(), **options)


def trainer(folder, n=20, epochs=2, seed=1, model_options=None, callbacks=None, **options) -> DialectTrainer:
    arguments = DialectTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        batch_size=8,
        seed=seed,
        disable_tqdm=True,
        use_cpu=True,
        logging_steps=1,
        **options,
    )
    model = tiny.model("whisper", seed=seed, **({"classifier_dropout": 0.2} | (model_options or {})))
    return DialectTrainer(
        model, arguments, tiny.feature_extractor("whisper"), clips(n), clips(6, training=False), callbacks=callbacks
    )


def weights(model) -> torch.Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def test_same_seed_same_weights_and_every_parameter_moves(tmp_path):
    first = trainer(tmp_path / "first", seed=1)
    before = {name: one.detach().clone() for name, one in first.model.named_parameters() if one.requires_grad}
    first.train()
    second = trainer(tmp_path / "second", seed=1)  # made after the first was trained: they share torch's random numbers
    second.train()
    other = trainer(tmp_path / "other", seed=2)
    other.train()
    assert torch.equal(weights(first.model), weights(second.model))
    assert not torch.equal(weights(first.model), weights(other.model))
    stayed = [name for name, one in first.model.named_parameters() if name in before and torch.equal(one, before[name])]
    assert stayed == []


def test_worker_processes_change_nothing(tmp_path):
    alone = trainer(tmp_path / "0")
    alone.train()
    workers = trainer(tmp_path / "2", dataloader_num_workers=2)
    workers.train()
    assert torch.equal(weights(alone.model), weights(workers.model))


def test_resuming_in_the_middle_of_an_epoch_equals_not_stopping(tmp_path):
    options = {
        "save_strategy": "steps",
        "save_steps": 1,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_total_limit": None,
    }
    whole = trainer(tmp_path / "whole", **options)
    whole.train()
    assert whole.state.global_step == 6  # 20 clips, batches of 7, 7 and 6
    again = trainer(tmp_path / "again", **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert torch.equal(weights(whole.model), weights(again.model))
    log = [[{k: v for k, v in line.items() if "loss" in k} for line in one.state.log_history] for one in (whole, again)]
    assert log[0][4:-1] == log[1][4:-1]


def test_parts_of_the_loss_are_logged_and_add_up(tmp_path):
    one = trainer(tmp_path, epochs=1, model_options={"objective": "supcon", "contrastive_weight": 0.5})
    one.train()
    line = one.state.log_history[0]
    assert line["loss"] == pytest.approx(line["cross_entropy_loss"] + 0.5 * line["contrastive_loss"], abs=1e-5)


def test_best_epoch_by_validation_cross_entropy_is_kept(tmp_path):
    one = trainer(tmp_path, epochs=3, learning_rate=0.05)
    one.train()
    values = [line["eval_cross_entropy"] for line in one.state.log_history if "eval_cross_entropy" in line]
    assert one.evaluate()["eval_cross_entropy"] == pytest.approx(min(values), abs=1e-6)


def test_early_stopping(tmp_path):
    one = trainer(tmp_path, epochs=30, learning_rate=0.0, patience=1, save_strategy="epoch")
    one.train()
    assert one.state.epoch < 30


def test_loss_that_is_not_finite_ends_the_run_with_advice(tmp_path):
    one = trainer(tmp_path)
    with torch.no_grad():
        one.model.classifier[-1].bias.fill_(torch.nan)
    with pytest.raises(DialectError, match=r"training loss is nan at step 1: lower training.learning_rate"):
        one.train()


def test_validation_metrics_by_hand():
    logits = np.log(np.array([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]], dtype=np.float32))
    found = classification_metrics(logits, np.array([0, 1, 1]))
    assert found["cross_entropy"] == pytest.approx(-np.log([0.7, 0.6, 0.1]).mean())
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx(2 / 3)


def test_arguments_that_would_be_ignored_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"set model.label_smoothing"):
        DialectTrainingArguments(output_dir=str(tmp_path), label_smoothing_factor=0.1)
    with pytest.raises(RecipeError, match=r"with training.sampler instead"):
        DialectTrainingArguments(output_dir=str(tmp_path), train_sampling_strategy="group_by_length")


def test_crops_and_features_are_the_same_from_cache_and_without():
    extractor = tiny.feature_extractor("whisper")
    cached, plain = clips(4), clips(4, cache_bytes=0)
    for epoch in (0, 1):
        for index in range(4):
            assert np.array_equal(cached[(epoch, index)]["clip"], plain[(epoch, index)]["clip"])
    assert not np.array_equal(cached[(0, 3)]["clip"], cached[(1, 3)]["clip"])
    # a crop of features equals the features of the crop
    still = Clips(
        corpus(8), crop_s=0.4, analyse=extractor.log_mel, hop=extractor.hop_length, window=extractor.window_length
    )
    from hf_dialects.data.audio import decode

    waveform = decode(corpus(8)[6]["audio"])
    frames = 1 + (6400 - 512) // 320
    start = (1 + (len(waveform) - 512) // 320 - frames) // 2
    assert np.allclose(still[6]["clip"], extractor.log_mel(waveform[start * 320 : start * 320 + 6400]), atol=1e-5)


def test_raw_waveforms_are_cropped_around_the_middle_for_validation():
    split = corpus(8)
    still = Clips(split, crop_s=0.4)
    from hf_dialects.data.audio import decode

    waveform = decode(split[6]["audio"])
    start = (len(waveform) - 6400) // 2
    assert np.array_equal(still[6]["clip"], waveform[start : start + 6400])


def test_streams_train_for_their_number_of_steps(tmp_path):
    extractor = tiny.feature_extractor("whisper")
    options = {"analyse": extractor.log_mel, "hop": extractor.hop_length, "window": extractor.window_length}
    stream = StreamedClips(corpus(10).to_iterable_dataset(), seed=1, training=True, crop_s=0.4, **options)
    arguments = DialectTrainingArguments(
        output_dir=str(tmp_path),
        max_steps=5,
        batch_size=4,
        use_cpu=True,
        disable_tqdm=True,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    one = DialectTrainer(tiny.model("whisper"), arguments, extractor, stream)
    one.train()
    assert one.state.global_step == 5


def test_balanced_batches_that_cannot_contrast_are_counted(tmp_path):
    one = trainer(tmp_path, epochs=1, sampler="balanced", model_options={"objective": "supcon"})
    labels = one.train_dataset.labels
    one.train_dataset.labels[:] = [0] * (len(labels) - 2) + [1, 1]  # only one batch can hold two dialects twice
    one.train()
    assert sum(line.get("batches_without_contrastive", 0) for line in one.state.log_history) == 2
