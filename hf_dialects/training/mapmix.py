"""Trainer that mixes examples by their place on a data map, and that trains on soft targets."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from hf_dialects.data.pairs import POOLS, PairBatches, PairedClips, build_partners
from hf_dialects.data.randomness import generator
from hf_dialects.data.samplers import build_sampler
from hf_dialects.data.static_mixing import StaticMixing
from hf_dialects.errors import RecipeError
from hf_dialects.training.arguments import DialectTrainingArguments
from hf_dialects.training.confidence_labels import clusters_in_order, smoothed_labels
from hf_dialects.training.datamaps import DataMap
from hf_dialects.training.regions import REGIONS
from hf_dialects.training.trainer import DialectTrainer, EpochLoader

__all__ = ["MapMixTrainer", "like_ambiguous_easy", "load_map", "mixes"]

MIXUPS = ("none", "static", "random", "within", "across", *POOLS)
TARGETS = ("one_hot", "smoothing", "confidence")
SUBSETS = ("like_ambiguous_easy",)


class Counts(TrainerCallback, ExportableState):
    """What was counted over all processes since the training began; checkpoints keep it."""

    def __init__(self):
        self.totals = {"encoded_examples": 0, "unmixed_examples": 0}
        self.own = dict.fromkeys(self.totals, 0)  # of this process, since they were last added up

    def state(self) -> dict:
        return {"args": {}, "attributes": {"totals": dict(self.totals)}}

    def on_train_begin(self, args, state, control, **kwargs):
        saved = state.stateful_callbacks[type(self).__name__]["attributes"]["totals"]
        self.totals = dict(saved) if state.global_step else dict.fromkeys(self.totals, 0)

    def add_up(self, accelerator) -> dict[str, int]:
        """The totals. Every process must call it."""
        own = torch.tensor([[int(one) for one in self.own.values()]], device=accelerator.device)
        for name, found in zip(self.own, accelerator.gather(own).sum(0).tolist(), strict=True):
            self.totals[name] += found
            self.own[name] = 0
        return self.totals


class MapMixTrainer(DialectTrainer):
    """`DialectTrainer` with mixup and soft targets, two options that do not depend on each other.

    Source: Rajaa et al. 2023, "Improving Spoken Language Identification with Map-Mix" (arXiv:2302.08229): mixup after
    pooling between ambiguous and easy examples (`mixup="ambiguous_easy"`) on confidence labels
    (`targets="confidence"`).

    `args.mixup` says who is mixed with whom, see `data.pairs.build_partners`; "static" mixes waveforms
    (`data.static_mixing`), all others mix pooled vectors after one encoder pass. `args.targets` are "one_hot" (with the
    label smoothing of the model), "smoothing" (`args.true_mass` on the gold dialect, the rest over all others) or
    "confidence". Partners and weights are drawn from (seed, epoch, id) over global batches.

    The log holds `encoded_examples`, all examples and partners that passed the encoder in training so far, and
    `unmixed_examples` where some have no partner (mixup within, in a cluster of one dialect). Examples per encoder pass
    of a batch of B: B for none, static, and random in one process; about B for across; for within B, and one more for
    each example whose siblings are not in the batch; at most 2 B for easy, hard and ambiguous_easy. An epoch of
    ambiguous_easy runs over the ambiguous examples alone: give arms that are compared equal `max_steps`, and evaluate
    and save by steps.

    A contrastive objective takes the unmixed vectors of all rows, partners included. With several processes a partner
    that another process holds, too, counts twice in it; the classification loss is that of one process.

    Args:
        model, args, feature_extractor, train_dataset, eval_dataset: as for `DialectTrainer`; `train_dataset` is
            `Clips` wherever something is mixed.
        datamap: gives the regions for "easy", "hard" and "ambiguous_easy"; None takes `args.datamap`.
        confidence: (C, C) targets of each gold dialect, for "confidence".

    Attributes:
        region_counts: region → training examples in it; None where the mixup takes no region.

    Raises:
        RecipeError: an unknown option, or something missing that it needs.
        CorpusError: dialects without cluster, examples that are not in the data map, an empty region, no partner.
    """

    def __init__(
        self,
        model,
        args: DialectTrainingArguments,
        feature_extractor,
        train_dataset,
        eval_dataset=None,
        datamap: DataMap | None = None,
        confidence: np.ndarray | None = None,
        **kwargs,
    ):
        _one_of("mixup", args.mixup, MIXUPS)
        targets = _targets(args.targets, args.true_mass, model.config, confidence)
        super().__init__(model, args, feature_extractor, train_dataset, eval_dataset, **kwargs)
        self._targets = torch.tensor(targets, dtype=torch.float32, device=args.device)  # (C, C)
        self.counts = Counts()
        self.add_callback(self.counts)
        self.region_counts: dict[str, int] | None = None
        if args.mixup == "none":
            return
        if isinstance(train_dataset, IterableDataset):
            raise RecipeError(f"training.mixup: {args.mixup} needs a corpus on disk, but this one is a stream")
        config, options = model.config, {}
        if args.mixup in ("within", "across"):
            options["clusters"] = clusters_in_order(list(config.id2label.values()), config.clusters)
        if args.mixup in POOLS:
            regions = options["regions"] = regions_of(datamap or load_map(args), train_dataset.ids, args)
            self.region_counts = {name: int((regions == name).sum()) for name in REGIONS}
        ids, labels = train_dataset.ids, train_dataset.labels
        self._rows, self._partners = build_partners(args.mixup, ids, labels, config.num_labels, args.seed, **options)

    def get_train_dataloader(self) -> DataLoader:
        """Batches of pairs; unmixed ones are those of `DialectTrainer`."""
        args, clips = self.args, self.train_dataset
        if args.mixup == "none":
            return super().get_train_dataloader()
        lengths = clips.lengths
        batches = build_sampler(
            args.sampler,
            labels=[clips.labels[row] for row in self._rows],
            lengths=lengths and [lengths[row] for row in self._rows],
            batch_size=args.batch_size,
            seed=args.seed,
            rank=args.process_index,
            world_size=args.world_size,
            **(args.sampler_options or {}),
        )
        static = args.mixup == "static"
        options = {"alpha": args.mixup_alpha, "weight_per": args.mixup_weight_per, "place": not static}
        return EpochLoader(
            (StaticMixing if static else PairedClips)(clips),
            batch_sampler=PairBatches(batches, self._rows, self._partners, **options),
            collate_fn=self.data_collator,
            num_workers=args.dataloader_num_workers,
            pin_memory=args.dataloader_pin_memory,
            persistent_workers=args.dataloader_persistent_workers,
        )

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Makes the targets soft and counts what is encoded."""
        if model.training:
            inputs = dict(inputs)
            labels, partner = inputs["labels"], inputs.pop("partner_label", None)
            self.counts.own["encoded_examples"] += len(labels)
            if "mixup_index" in inputs:  # nothing here waits for the device
                places = torch.arange(len(labels), device=labels.device)
                self.counts.own["unmixed_examples"] += (inputs["mixup_index"] == places).sum()
            if partner is not None:
                weight = inputs.pop("own_weight")[:, None]  # (B, 1)
                inputs["labels"] = weight * self._targets[labels] + (1 - weight) * self._targets[partner]
                self.counts.own["unmixed_examples"] += inputs["recordable"].sum()
            elif self.args.targets != "one_hot":
                inputs["labels"] = self._targets[labels]
        return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)

    def _can_contrast(self, labels: torch.Tensor) -> bool:
        return super()._can_contrast(labels if labels.ndim == 1 else labels.argmax(-1))

    def _save_checkpoint(self, model, trial):
        self.counts.add_up(self.accelerator)
        super()._save_checkpoint(model, trial)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs or "train_loss" in logs:  # the last line of a training, too
            totals = self.counts.add_up(self.accelerator)
            logs |= {name: total for name, total in totals.items() if total or name == "encoded_examples"}
        super().log(logs, start_time)


def mixes(args: DialectTrainingArguments) -> bool:
    """Whether a training needs `MapMixTrainer`."""
    return args.mixup != "none" or args.targets != "one_hot"


def load_map(args: DialectTrainingArguments) -> DataMap:
    """The data map that the arguments name.

    Raises:
        RecipeError: they name none.
        CheckpointError: there is none.
    """
    if args.datamap in (None, "previous"):
        why = "no training.datamap is given" if args.datamap is None else "there is no stage before"
        raise RecipeError(
            f"a training with {_wants_map(args)} needs the regions of a data map, but {why}; name the folder of a run "
            "with training.record_dynamics, or make the map in a stage of its own as the recipe map_mix does"
        )
    return DataMap.from_run(args.datamap)


def regions_of(datamap: DataMap, ids: Sequence[str], args: DialectTrainingArguments) -> np.ndarray:
    """The region of every example, (N,) of "easy", "ambiguous" and "hard".

    Raises:
        RecipeError: `args.regions` does not fit `DataMap.regions`.
        CorpusError: examples are not in the map.
    """
    try:
        return datamap.subset(ids).regions(**(args.regions or {}))
    except TypeError as error:
        raise RecipeError(f"training.regions does not fit DataMap.regions: {error}") from error


def like_ambiguous_easy(datamap: DataMap, ids: Sequence[str], args: DialectTrainingArguments) -> list[int]:
    """As many random rows as there are ambiguous and easy examples, in order; drawn from the seed.

    Raises:
        RecipeError: an unknown subset, or a mixup that takes its examples from regions.
    """
    _one_of("train_subset", args.train_subset, SUBSETS)
    if args.mixup in POOLS:
        raise RecipeError(f"training.train_subset is for mixup without regions, but training.mixup is {args.mixup}")
    size = int((regions_of(datamap, ids, args) != "hard").sum())
    order = sorted(range(len(ids)), key=lambda row: ids[row])  # the draw hangs on ids, not on the order of rows
    chosen = generator(args.seed, 0, "training", "subset").choice(len(ids), size, replace=False)
    return sorted(order[one] for one in chosen)


def _targets(kind: str, true_mass: float, config, confidence: np.ndarray | None) -> np.ndarray:
    """(C, C), row c the targets of gold dialect c."""
    _one_of("targets", kind, TARGETS)
    n = config.num_labels
    if kind == "one_hot":
        return (1 - config.label_smoothing) * np.eye(n) + config.label_smoothing / n
    if config.label_smoothing:
        raise RecipeError(
            f"training.targets is {kind} and model.label_smoothing is {config.label_smoothing}: soft targets are taken "
            "as they are; set model.label_smoothing to 0"
        )
    if kind == "smoothing":
        return smoothed_labels(n, true_mass)
    if np.shape(confidence) != (n, n):
        raise RecipeError(
            f"targets: confidence needs the targets of every gold dialect, ({n}, {n}), found {np.shape(confidence)}; "
            "make them with confidence_labels"
        )
    return np.asarray(confidence)


def _wants_map(args: DialectTrainingArguments) -> str:
    return f"mixup {args.mixup}" if args.mixup in POOLS else f"train_subset {args.train_subset}"


def _one_of(name: str, found, valid: tuple[str, ...]) -> None:
    if found not in valid:
        raise RecipeError(f"training.{name} is {found!r}; choose one of {', '.join(valid)}")
