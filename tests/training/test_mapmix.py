"""Mixing by a data map: against encoding twice, targets by hand, resuming, recording."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from test_trainer import clips, weights

from hf_dialects.data.streamed_clips import StreamedClips
from hf_dialects.errors import CorpusError, RecipeError
from hf_dialects.models.objectives_dialect import build_objective
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.confidence_labels import confidence_labels, smoothed_labels
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.datamaps_callback import DatamapsCallback
from hf_dialects.training.dynamics import read_dynamics
from hf_dialects.training.mapmix import MapMixTrainer, like_ambiguous_easy, load_map
from hf_dialects.training.trainer import DialectTrainer

N = 21
CLUSTERS = {"north": "a", "south": "a", "west": "b"}
CONFIDENCE = confidence_labels(np.array([[0, 2, 1], [1, 0, 1], [1, 1, 0]]), ["a", "a", "b"])
MIXUPS = ("static", "random", "within", "across", "easy", "hard", "ambiguous_easy")
REGION = {0: "easy", 1: "ambiguous", 2: "hard"}  # by row mod 3 of row // 2, so that each holds every dialect
LEVELS = {"easy": (0.9, 0.9), "ambiguous": (0.1, 0.9), "hard": (0.1, 0.1)}  # gold probability in two epochs


QUICK = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}


def region(row: int) -> str:
    return REGION[row // 2 % 3]


def dynamics(n: int = N) -> pd.DataFrame:
    rows = [
        {"id": f"clip-{row}", "epoch": epoch, "gold": row % 3, "probability": LEVELS[region(row)][epoch]}
        for epoch in (0, 1)
        for row in range(n)
    ]
    return pd.DataFrame(rows).assign(correct=True, mode="training")


def trainer(folder, kind=MapMixTrainer, n=N, model=None, callbacks=None, datamap=None, **options):
    """A small encoder without dropout unless `model` says otherwise."""
    options = {"num_train_epochs": 2, "batch_size": 8, "logging_steps": 1, "seed": 1} | options
    arguments = DialectTrainingArguments(output_dir=str(folder), disable_tqdm=True, use_cpu=True, **options)
    network = tiny.model("whisper", seed=1, **({"clusters": CLUSTERS} | (model or {})))
    with torch.no_grad():
        for parameter in network.classifier.parameters():
            parameter.mul_(40)  # a new head says nearly the same of everything
    given = {}
    if kind is MapMixTrainer:
        given["datamap"] = datamap or DataMap.from_dynamics(dynamics())
        given["confidence"] = CONFIDENCE if options.get("targets") == "confidence" else None
    extractor = tiny.feature_extractor("whisper")
    sets = clips(n), clips(6, training=False)
    return kind(network, arguments, extractor, *sets, callbacks=callbacks, **given)


def without(batch: dict, *names: str) -> dict:
    return {name: value for name, value in batch.items() if name not in names}


def logged(one, *names: str) -> list[dict]:
    return [{name: line[name] for name in names if name in line} for line in one.state.log_history if "loss" in line]


# one pass over examples and partners, against a pass over each


@pytest.mark.parametrize("weight_per", ["batch", "pair"])
@pytest.mark.parametrize("mixup", ["random", "within", "easy", "ambiguous_easy"])
def test_one_pass_equals_encoding_examples_and_partners_apart(tmp_path, mixup, weight_per):
    head = {"classifier_hidden": 16, "pooling": "attention"}
    one = trainer(tmp_path, model=head, mixup=mixup, mixup_weight_per=weight_per, targets="confidence")
    network, table = one.model.train(), torch.tensor(CONFIDENCE, dtype=torch.float32)
    for batch in one.get_train_dataloader():
        inputs = without(batch, "labels", "row", "mixup_index", "mixup_weight")
        loss, output = one.compute_loss(network, batch, return_outputs=True)
        counted = batch["mixup_index"] >= 0
        index, weight = batch["mixup_index"][counted], batch["mixup_weight"][counted][:, None]

        def encode(rows, inputs=inputs):
            return network.dialect(**{name: value[rows] for name, value in inputs.items()}).embeddings

        own, partner = encode(counted.nonzero()[:, 0]), encode(index)
        logits = network.classifier(weight * own + (1 - weight) * partner)
        targets = weight * table[batch["labels"][counted]] + (1 - weight) * table[batch["labels"][index]]
        expected = -(targets * logits.log_softmax(-1)).sum(-1).mean()
        assert torch.allclose(output.logits[counted], logits, atol=1e-5)
        assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
        assert loss.item() != pytest.approx(network(**inputs, labels=batch["labels"]).loss.item(), abs=1e-4)


@pytest.mark.parametrize("mixup", MIXUPS)
def test_partners_come_from_where_the_variant_says(tmp_path, mixup):
    one = trainer(tmp_path, mixup=mixup)
    clusters = [CLUSTERS[name] for name in tiny.LABELS]
    rows = []
    for batch in one.get_train_dataloader():
        if mixup == "static":
            assert "mixup_index" not in batch
            assert not batch["recordable"].any()
            rows += batch["row"].tolist()
            continue
        counted = batch["mixup_index"] >= 0
        own, index = batch["row"][counted], batch["mixup_index"][counted]
        rows += own.tolist()
        for row, partner in zip(own.tolist(), batch["row"][index].tolist(), strict=True):
            assert row != partner or (mixup == "within" and row % 3 == 2), "west is alone in its cluster"
            if mixup in ("within", "across"):
                assert (clusters[row % 3] == clusters[partner % 3]) == (mixup == "within")
            elif mixup != "random":
                assert region(partner) == {"hard": "hard"}.get(mixup, "easy")
    expected = [row for row in range(N) if mixup != "ambiguous_easy" or region(row) == "ambiguous"]
    assert sorted(rows) == expected


@pytest.mark.parametrize("mixup", ["none", *MIXUPS])
def test_every_variant_trains_all_parameters_and_counts_what_it_encodes(tmp_path, mixup):
    one = trainer(tmp_path, mixup=mixup, targets="confidence", max_steps=4, learning_rate=1e-2, **QUICK)
    before = {name: value.detach().clone() for name, value in one.model.named_parameters() if value.requires_grad}
    one.train()
    parameters = dict(one.model.named_parameters())
    assert [name for name in before if torch.equal(parameters[name], before[name])] == []
    batches = list(trainer(tmp_path, mixup=mixup).get_train_dataloader())
    encoded = [line["encoded_examples"] for line in logged(one, "encoded_examples")]
    assert len(encoded) == one.state.global_step == 4
    assert one.state.log_history[-1]["encoded_examples"] == encoded[-1]
    assert encoded[0] == len(batches[0]["row"])
    limit = {"none": 1.0, "static": 1.0, "random": 1.0}.get(mixup, 2.0)
    examples = sum(int((batch.get("mixup_index", batch["row"]) >= 0).sum()) for batch in batches)
    assert examples <= sum(len(batch["row"]) for batch in batches) <= limit * examples
    unmixed = [line.get("unmixed_examples", 0) for line in logged(one, "unmixed_examples")]
    assert (unmixed[-1] > 0) == (mixup == "within")


# targets


@pytest.mark.parametrize(
    ("targets", "table"),
    [("one_hot", np.eye(3)), ("smoothing", smoothed_labels(3, 0.8)), ("confidence", CONFIDENCE)],
)
def test_targets_without_mixing_by_hand(tmp_path, targets, table):
    one = trainer(tmp_path, targets=targets, true_mass=0.8)
    batch = next(iter(one.get_train_dataloader()))
    network = one.model.train()
    loss, output = one.compute_loss(network, dict(batch), return_outputs=True)
    wanted = torch.tensor(table, dtype=torch.float32)[batch["labels"]]
    assert loss.item() == pytest.approx(-(wanted * output.logits.log_softmax(-1)).sum(-1).mean().item(), abs=1e-5)
    hard = one.compute_loss(network.eval(), dict(batch)).item()
    expected = torch.nn.functional.cross_entropy(output.logits, batch["labels"]).item()
    assert hard == pytest.approx(expected, abs=1e-5), "evaluation is on hard labels"


@pytest.mark.parametrize(("targets", "smoothing"), [("one_hot", 0.0), ("one_hot", 0.1), ("confidence", 0.0)])
def test_targets_of_mixed_waveforms_by_hand(tmp_path, targets, smoothing):
    one = trainer(tmp_path, model={"label_smoothing": smoothing}, mixup="static", targets=targets)
    batch = next(iter(one.get_train_dataloader()))
    table = (1 - smoothing) * np.eye(3) + smoothing / 3 if targets == "one_hot" else CONFIDENCE
    table, own = torch.tensor(table, dtype=torch.float32), batch["own_weight"][:, None]
    wanted = own * table[batch["labels"]] + (1 - own) * table[batch["partner_label"]]
    loss, output = one.compute_loss(one.model.train(), dict(batch), return_outputs=True)
    assert loss.item() == pytest.approx(-(wanted * output.logits.log_softmax(-1)).sum(-1).mean().item(), abs=1e-5)


def test_neither_mixing_nor_soft_targets_is_plain_training(tmp_path):
    same = {"model": {"classifier_dropout": 0.2, "label_smoothing": 0.1}}
    one, plain = trainer(tmp_path / "one", **same), trainer(tmp_path / "plain", DialectTrainer, **same)
    for each in (one, plain):
        torch.manual_seed(5)
        each.train()
    assert torch.equal(weights(one.model), weights(plain.model))


def test_a_contrastive_objective_takes_unmixed_vectors_and_hard_labels(tmp_path):
    model = {"objective": "supcon", "contrastive_weight": 0.5}
    one = trainer(tmp_path, model=model, mixup="ambiguous_easy", targets="confidence", sampler="balanced")
    batch = next(iter(one.get_train_dataloader()))
    _, output = one.compute_loss(one.model.train(), dict(batch), return_outputs=True)
    labels = batch["labels"]
    expected = build_objective("supcon")(output.embeddings, labels)
    assert output.contrastive_loss.item() == pytest.approx(expected.item(), abs=1e-6)
    assert output.loss.item() == pytest.approx((output.cross_entropy_loss + 0.5 * expected).item(), abs=1e-6)
    one.train()


# the same however often it is started, and by however many workers

STEPS = {"eval_strategy": "steps", "save_strategy": "steps", "eval_steps": 1, "save_steps": 1, "save_total_limit": None}


@pytest.mark.parametrize("mixup", ["ambiguous_easy", "within", "static"])
def test_resuming_in_the_middle_of_an_epoch_equals_not_stopping(tmp_path, mixup):
    options = STEPS | {"mixup": mixup, "mixup_weight_per": "pair", "targets": "confidence", "batch_size": 4}
    options |= {"model": {"classifier_dropout": 0.2}, "max_steps": 5, "logging_steps": 2}

    def made(name: str) -> MapMixTrainer:
        recorders = [DatamapsCallback(tmp_path / name / "map.parquet")] if mixup != "static" else []
        return trainer(tmp_path / name, callbacks=recorders, **options)

    whole, again = made("whole"), made("again")
    assert 3 % len(again.get_train_dataloader()), "the third step is within an epoch"
    whole.train()
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert torch.equal(weights(whole.model), weights(again.model))
    names = ("step", "encoded_examples", "unmixed_examples")
    assert logged(whole, *names) == logged(again, *names)
    assert logged(whole, "encoded_examples")[-1]["encoded_examples"] > 0
    if mixup != "static":
        pd.testing.assert_frame_equal(*(read_dynamics(tmp_path / name / "map.parquet") for name in ("whole", "again")))


def test_worker_processes_change_nothing(tmp_path):
    options = {"mixup": "easy", "num_train_epochs": 1} | QUICK
    alone, workers = (trainer(tmp_path / str(n), dataloader_num_workers=n, **options) for n in (0, 2))
    for each in (alone, workers):
        each.train()
    assert torch.equal(weights(alone.model), weights(workers.model))


# training dynamics while mixing


def test_dynamics_are_of_unmixed_examples_and_none_of_mixed_waveforms(tmp_path):
    recorder = DatamapsCallback(tmp_path / "map.parquet")
    still = {"learning_rate": 0.0, "num_train_epochs": 1}
    one = trainer(tmp_path, mixup="ambiguous_easy", callbacks=[recorder], **still)
    one.train()
    found = read_dynamics(tmp_path / "map.parquet").set_index("id")
    drawn = {f"clip-{row}" for batch in one.get_train_dataloader() for row in batch["row"].tolist()}
    assert set(found.index) == drawn
    network = one.model.eval()
    for batch in one.get_train_dataloader():
        logits = network(**without(batch, "labels", "row", "mixup_index", "mixup_weight")).logits
        gold = logits.softmax(-1)[torch.arange(len(logits)), batch["labels"]].tolist()
        assert gold == pytest.approx(
            [found.loc[f"clip-{row}", "probability"] for row in batch["row"].tolist()], abs=1e-5
        )
    recorder = DatamapsCallback(tmp_path / "static.parquet")
    with pytest.warns(UserWarning, match="no recording was heard unmixed"):
        trainer(tmp_path, mixup="static", callbacks=[recorder], **still).train()
    assert len(read_dynamics(tmp_path / "static.parquet")) == 0


# options that do not fit


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": "ambigous"}, "training.mixup is 'ambigous'; choose one of none, static, random, within"),
        ({"targets": "soft"}, "training.targets is 'soft'; choose one of one_hot, smoothing, confidence"),
        ({"targets": "smoothing", "true_mass": 0.2}, "training.true_mass must lie above 0.5"),
        ({"mixup": "easy", "regions": {"bye": 3}}, "training.regions does not fit DataMap.regions: .*bye"),
        (
            {"targets": "smoothing", "model": {"label_smoothing": 0.1}},
            "soft targets are taken as they are; set model.label_smoothing to 0",
        ),
    ],
)
def test_wrong_options_are_named(tmp_path, options, message):
    with pytest.raises(RecipeError, match=message):
        trainer(tmp_path, **options)


def test_what_a_variant_needs_is_asked_for(tmp_path):
    make = partial(trainer, tmp_path)
    with pytest.raises(CorpusError, match=r"3 of 3 dialects have no cluster \(first: north\)"):
        make(mixup="within", model={"clusters": None})
    with pytest.raises(CorpusError, match=r"mixup within finds no partner .* every cluster has one dialect only"):
        make(mixup="within", model={"clusters": {"north": "a", "south": "b", "west": "c"}})
    with pytest.raises(CorpusError, match="2 recordings are not in the data map, first: clip-19, clip-20"):
        make(mixup="easy", datamap=DataMap.from_dynamics(dynamics(19)))
    arguments = {"output_dir": str(tmp_path), "use_cpu": True, "disable_tqdm": True}
    for datamap, why in ((None, "no training.datamap is given"), ("previous", "there is no stage before")):
        with pytest.raises(
            RecipeError, match=f"mixup hard needs the regions of a data map, but {why}; name the folder"
        ):
            load_map(DialectTrainingArguments(mixup="hard", datamap=datamap, **arguments))
    network, extractor = tiny.model("whisper"), tiny.feature_extractor("whisper")
    with pytest.raises(RecipeError, match=r"targets of every gold dialect, \(3, 3\), found \(\)"):
        MapMixTrainer(network, DialectTrainingArguments(targets="confidence", **arguments), extractor, clips(6))
    stream = StreamedClips(clips(6).dataset.to_iterable_dataset())
    streaming = DialectTrainingArguments(mixup="random", max_steps=2, **arguments, **QUICK)
    with pytest.raises(RecipeError, match=r"training\.mixup: random needs a corpus on disk, but this one is a stream"):
        MapMixTrainer(network, streaming, extractor, stream)


def test_a_random_subset_as_large_as_ambiguous_and_easy(tmp_path):
    datamap, ids = DataMap.from_dynamics(dynamics()), [f"clip-{row}" for row in range(N)]
    size = sum(region(row) != "hard" for row in range(N))

    def subset(ids=ids, **options):
        options = {"train_subset": "like_ambiguous_easy", "use_cpu": True} | options
        arguments = DialectTrainingArguments(output_dir=str(tmp_path), **options)
        return {ids[row] for row in like_ambiguous_easy(datamap, ids, arguments)}

    chosen = subset()
    assert len(chosen) == size < N
    assert {region(int(id.removeprefix("clip-"))) for id in chosen} == {"easy", "ambiguous", "hard"}, "not by region"
    assert chosen == subset(ids=ids[::-1]) != subset(seed=1)
    with pytest.raises(RecipeError, match="train_subset is 'half'; choose one of like_ambiguous_easy"):
        subset(train_subset="half")
    with pytest.raises(RecipeError, match=r"train_subset is for mixup without regions, but training\.mixup is easy"):
        subset(mixup="easy")
