"""Recording training dynamics while a model is trained."""

import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from accelerate.utils import gather_object
from torch.utils.data import DataLoader, IterableDataset
from transformers import TrainerCallback

from hf_dialects.data.clips import Clips
from hf_dialects.data.collate import Collator
from hf_dialects.errors import CheckpointError, RecipeError
from hf_dialects.models.encoder_dialect import padding_leaks
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.training.dynamics import (
    DYNAMICS,
    MODES,
    OUT_OF_FOLD,
    TRAINING,
    TYPES,
    read_dynamics,
    write_dynamics,
)

RECORDED = {"step": "int64", "row": "int64", "probability": "float32", "correct": bool}


class DatamapsCallback(TrainerCallback):
    """Records the probability of the gold dialect of every recording in every epoch of a `DialectTrainer`.

    Source: Swayamdipta et al. 2020, "Dataset Cartography" (arXiv:2009.10795), section 2: the training dynamics
    p(y_i | x_i) at the end of each epoch, y_i the gold class. Recordings are known by their id.

    "training" reads them off the training pass, which costs nothing: on the inputs as they are before any mixing, but
    with that pass's dropout, crop and weights. A recording not drawn in an epoch has no row, of one drawn twice the
    first counts. "evaluation" passes over the training set after every epoch: in eval mode, around the middle, without
    augmentation. "out_of_fold" does the same over recordings that are not trained on. A model that memorises its
    training set gives wrong labels a high probability in the end, too, which hides them: lists of label errors
    meant for correction take "out_of_fold".

    Neither changes what is learnt. Every checkpoint keeps what was recorded before it, partly recorded epochs included,
    so that a resumed run has the same table as one that was not broken off.

    Args:
        path: written when the training ends; a checkpoint holds a file of the same name.
        mode: "training", "evaluation" or "out_of_fold".
        corpus: what "out_of_fold" records, with columns audio, dialect and id.

    Raises:
        RecipeError: an unknown mode, or a corpus that does not fit it.
    """

    def __init__(self, path: str | Path = DYNAMICS, mode: str = TRAINING, corpus=None):
        if mode not in MODES:
            raise RecipeError(f"training.record_dynamics is {mode!r}; it must be {', '.join(MODES)} or false")
        if (mode == OUT_OF_FOLD) != (corpus is not None):
            raise RecipeError("the mode out_of_fold needs a corpus that is not trained on, and only it takes one")
        self.path, self.mode, self.corpus = Path(path), mode, corpus
        self._resumed: pd.DataFrame | None = None

    def on_train_begin(
        self, args, state, control, model=None, processing_class=None, train_dataloader=None, **kwargs
    ) -> None:
        """Raises `RecipeError` where not every recording would be seen, or they have no ids."""
        clips = train_dataloader.dataset
        if isinstance(clips, IterableDataset):
            raise RecipeError("training dynamics are recorded of a corpus on disk, but this one is a stream")
        if self.mode == TRAINING and getattr(train_dataloader.batch_sampler, "with_replacement", False):
            raise RecipeError(
                f"the sampler {args.sampler!r} draws with replacement, so an epoch misses recordings; take another "
                "training.sampler, or training.record_dynamics=evaluation"
            )
        if self.mode != TRAINING:
            own = clips if self.corpus is None else Clips(self.corpus, **vars(clips.prepare))
            clips = own.plain()
        self._clips, self._model, self._extractor, self._args = clips, model, processing_class, args
        self._ids = np.array(clips.ids, dtype=object)
        self._labels = np.array(clips.labels, dtype=np.int32)
        self._gold = torch.tensor(clips.labels, dtype=torch.int64, device=args.device)  # (N,)
        self._batches: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []  # on the device
        self._moved: list[pd.DataFrame] = []
        self._steps, self._epoch, self._passed = 0, 0, None
        resumed, self._resumed = self._resumed, None
        self._epochs = {} if resumed is None else dict(iter(resumed.groupby("epoch")))

    def resume(self, folder: str | Path) -> None:
        """Go on from what a checkpoint holds.

        Raises:
            CheckpointError: it recorded nothing, or in another mode.
        """
        self._resumed = read_dynamics(Path(folder) / self.path.name)
        if other := set(self._resumed["mode"]) - {self.mode}:
            raise CheckpointError(f"{folder} recorded its dynamics in the mode {other.pop()}, not {self.mode}")

    def save(self, folder: str | Path, state) -> None:
        """Put what was recorded so far into a checkpoint. Every process must call it."""
        # a checkpoint by steps may come before the end of its epoch is announced
        if self.mode != TRAINING and (state.epoch == self._epoch + 1 or state.global_step >= state.max_steps):
            self._pass()
        self._collect()
        if state.is_world_process_zero:
            write_dynamics(self.table(), Path(folder) / self.path.name)

    def on_epoch_begin(self, args, state, control, **kwargs) -> None:
        self._epoch = int(state.epoch)

    def on_log(self, args, state, control, **kwargs) -> None:
        self._move()

    def on_epoch_end(self, args, state, control, **kwargs) -> None:
        if self.mode != TRAINING:
            self._pass()
        self._collect()

    def on_train_end(self, args, state, control, **kwargs) -> None:
        if state.is_world_process_zero:
            if not self._epochs:
                warnings.warn(
                    "no training dynamics were recorded, because no recording was heard unmixed; "
                    "take training.record_dynamics=evaluation",
                    stacklevel=2,
                )
            write_dynamics(self.table(), self.path)

    def table(self) -> pd.DataFrame:
        """What was recorded so far, as `read_dynamics` returns it; complete on the first process only."""
        if not self._epochs:
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TYPES.items()})
        return pd.concat([self._epochs[epoch] for epoch in sorted(self._epochs)], ignore_index=True)

    @torch.no_grad()
    def record(self, rows: torch.Tensor, logits: torch.Tensor, recordable: torch.Tensor | None = None) -> None:
        """Keep the gold probabilities of a batch; nothing waits for the device.

        Args:
            rows: (B,) int64, positions in the recorded dataset.
            logits: (B, C), of unmixed inputs.
            recordable: (B,) bool, False where the input itself is a mixture; None = all.
        """
        gold = self._gold[rows]
        probability = logits.float().softmax(-1).gather(1, gold[:, None])[:, 0]
        if recordable is not None:
            rows = torch.where(recordable, rows, -1)
        self._batches.append((rows, probability, logits.argmax(-1) == gold))

    def _move(self) -> None:
        """From the device to the host, many batches at once."""
        if not self._batches:
            return
        steps = np.repeat(np.arange(len(self._batches)) + self._steps, [len(rows) for rows, _, _ in self._batches])
        row, probability, correct = (torch.cat(part).cpu().numpy() for part in zip(*self._batches, strict=True))
        self._moved.append(pd.DataFrame({"step": steps, "row": row, "probability": probability, "correct": correct}))
        self._steps += len(self._batches)
        self._batches = []

    def _collect(self) -> None:
        """Bring what all processes recorded since the last time into the table of this epoch."""
        self._move()
        own = pd.concat([pd.DataFrame(columns=list(RECORDED)).astype(RECORDED), *self._moved])
        self._moved, self._steps = [], 0
        # in order of step, then process, then place: that of the global batches
        found = pd.concat(gather_object([own])).sort_values("step", kind="stable")
        found = found[found["row"] >= 0].drop_duplicates("row")
        if not self._args.process_index and len(found):
            rows = found["row"].to_numpy()
            part = {"id": self._ids[rows], "epoch": self._epoch, "gold": self._labels[rows]}
            part |= {name: found[name].to_numpy() for name in ("probability", "correct")} | {"mode": self.mode}
            parts = [self._epochs[self._epoch]] if self._epoch in self._epochs else []
            whole = pd.concat([*parts, pd.DataFrame(part).astype(TYPES)]).drop_duplicates("id")
            self._epochs[self._epoch] = whole.sort_values("id")

    def _pass(self) -> None:
        """Record every recording once, unless this epoch has been."""
        if self._passed == self._epoch:
            return
        self._passed = self._epoch
        model, args = self._model, self._args
        batch = self._extractor.batch if self._clips.prepare.analyse else partial(extract, self._extractor)
        loader = DataLoader(
            self._clips,
            batch_sampler=self._share(),
            collate_fn=Collator(batch),
            num_workers=args.dataloader_num_workers,
        )
        was_training = model.training
        devices = [args.device] if args.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # a loader draws a seed, some encoders for their layer drop
            model.eval()
            for inputs in loader:
                inputs = {name: value.to(args.device) for name, value in inputs.items() if name != "labels"}
                rows = inputs.pop("row")
                with torch.no_grad():
                    self.record(rows, model(**inputs).logits)
            model.train(was_training)

    def _share(self) -> list[list[int]]:
        """This process's batches of the recorded dataset.

        They are cut before they are shared out, so that no number of processes changes a batch. Where padding changes
        what an encoder says, only recordings of one length share a batch.
        """
        lengths, size = self._clips.lengths, self._args.per_device_eval_batch_size
        alone = padding_leaks(self._model.config.encoder_config)
        if lengths is None:
            lengths = range(len(self._clips))  # none is known to be as long as another
        batches: list[list[int]] = []
        for row in np.argsort(lengths, kind="stable").tolist():
            mixed = batches and lengths[batches[-1][0]] != lengths[row]
            if not batches or len(batches[-1]) == size or (mixed and alone):
                batches.append([])
            batches[-1].append(row)
        rank, world = self._args.process_index, self._args.world_size
        # as many batches for every process: a sharded model needs them all for each; what comes twice is dropped
        return [batches[number % len(batches)] for number in range(rank, -(-len(batches) // world) * world, world)]
