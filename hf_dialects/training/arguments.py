"""Training arguments: those of transformers, with this field's defaults and a few more."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from transformers import TrainingArguments

from hf_dialects.errors import RecipeError
from hf_dialects.training.sharing import check_push

LEARNING_RATES = {"adamw": 1e-4, "scaled_adam": 0.045}  # by optimiser


@dataclass
class DialectTrainingArguments(TrainingArguments):
    """Arguments of `DialectTrainer`.

    Defaults that differ from transformers: 10 epochs, learning rate 1e-4, weight decay 0.01, 10 % linear warm-up,
    evaluation and checkpoint after every epoch, the best checkpoint by validation cross-entropy is loaded at the end,
    at most two checkpoints are kept, columns are never dropped, a push to the Hub is private and comes at the end, and
    a loss that is not finite ends the run instead of being hidden.

    Batches are global: `batch_size` examples over all processes, each process takes an equal slice.
    """

    batch_size: int = field(default=32, metadata={"help": "Examples of one forward pass over all processes together."})
    sampler: str = field(default="random", metadata={"help": "random, buckets, balanced or classes_x_examples."})
    sampler_options: dict | None = field(default=None, metadata={"help": "Options of the sampler, see data.samplers."})
    crop_s: float | None = field(
        default=None, metadata={"help": "Training crop in seconds; None = the model's window_s."}
    )
    waveform_augment: dict | None = field(
        default=None, metadata={"help": "noise, reverb, speed, telephone: see data.augment."}
    )
    spectral_augment: dict | None = field(
        default=None, metadata={"help": "Mel warp and masks, see data.spectral_augment."}
    )
    freeze_feature_encoder: bool = field(default=False, metadata={"help": "Do not train the encoder's front."})
    freeze_layers: int | None = field(default=None, metadata={"help": "Do not train the front and the first n blocks."})
    balance_classes: bool = field(default=False, metadata={"help": "Weight classes by the inverse of their frequency."})
    optimiser: str = field(
        default="adamw", metadata={"help": "adamw, or scaled_adam, which clips gradients itself; eden then is set."}
    )
    optimiser_options: dict | None = field(default=None, metadata={"help": "Of scaled_adam, see training.optimisers."})
    eden: dict | None = field(
        default=None,
        metadata={
            "help": "Learning rate by Eden: batches, epochs, warmup_batches, warmup_start. lr_scheduler_type if absent."
        },
    )
    average_weights_every: int | None = field(
        default=None, metadata={"help": "Checkpoints keep the mean of the weights after every so many steps."}
    )
    patience: int | None = field(
        default=None, metadata={"help": "Stop after this many evaluations without a better one."}
    )
    threads: int | None = field(default=None, metadata={"help": "CPU threads of torch; None = its own choice."})
    record_dynamics: str | None = field(
        default=None,
        metadata={
            "help": "training: gold probabilities off the training pass; evaluation: an exact extra pass per epoch."
        },
    )
    mixup: str = field(
        default="none",
        metadata={
            "help": "none, static, random, within, across, easy, hard or ambiguous_easy: who is mixed with whom."
        },
    )
    mixup_alpha: float = field(default=0.5, metadata={"help": "Mixing weights are drawn from Beta(alpha, alpha)."})
    mixup_weight_per: str = field(default="batch", metadata={"help": "One weight per batch, or per pair."})
    targets: str = field(default="one_hot", metadata={"help": "one_hot, smoothing or confidence."})
    true_mass: float = field(default=0.75, metadata={"help": "What soft targets leave on the gold dialect."})
    confidence_from: str = field(
        default="uniform",
        metadata={"help": "Shares of targets: confidence: uniform, frequency, out_of_fold, or a table (CSV or JSON)."},
    )
    confidence_folds: int = field(default=3, metadata={"help": "Folds of confidence_from: out_of_fold."})
    datamap: str | None = field(
        default=None,
        metadata={"help": "Run folder or dynamics.parquet that gives the regions; previous: the stage before."},
    )
    regions: dict | None = field(
        default=None, metadata={"help": "Options of DataMap.regions: by, easy, hard, smallest."}
    )
    train_subset: str | None = field(
        default=None,
        metadata={"help": "like_ambiguous_easy: train on as many random examples as are ambiguous or easy."},
    )

    align: str | None = field(
        default=None,
        metadata={"help": "Column, such as sentence_id: train an encoder to bring varieties together, no classifier."},
    )
    align_utterances: int = field(default=4, metadata={"help": "Varieties of one sentence in a batch of align."})
    align_temperature: float = field(default=0.05, metadata={"help": "What SeqSim is divided by to be a logit."})
    align_hardness: float = field(
        default=0.0, metadata={"help": "Weight of negatives by how alike they are, see alignment_loss; 0 = all alike."}
    )

    hub_license: str | None = field(
        default=None, metadata={"help": "License of the weights as the Hub names it; push_to_hub needs it."}
    )
    hub_strategy: str = field(default="end", metadata={"help": "Must stay end: the finished model is what is pushed."})
    hub_private_repo: bool | None = field(default=True, metadata={"help": "Push to a private repository."})

    num_train_epochs: float = field(default=10.0, metadata={"help": "Passes over the training split."})
    learning_rate: float | None = field(
        default=None, metadata={"help": "Peak learning rate; None = 1e-4, with scaled_adam 0.045."}
    )
    weight_decay: float = field(default=0.01, metadata={"help": "AdamW weight decay."})
    warmup_steps: float = field(
        default=0.1, metadata={"help": "Steps, or below 1 the share of all steps, of linear warm-up."}
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate on the validation split."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to write a checkpoint."})
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep, the best one among them."})
    load_best_model_at_end: bool = field(default=True, metadata={"help": "Return to the best checkpoint at the end."})
    metric_for_best_model: str | None = field(
        default="cross_entropy", metadata={"help": "Validation value that selects."}
    )
    greater_is_better: bool | None = field(default=False, metadata={"help": "Direction of that value."})
    logging_steps: float = field(default=25, metadata={"help": "Steps between log lines."})
    logging_nan_inf_filter: bool = field(default=False, metadata={"help": "Hide losses that are not finite."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off: rows carry their audio."})
    per_device_eval_batch_size: int = field(
        default=32, metadata={"help": "Validation examples of one pass per process."}
    )
    dataloader_pin_memory: bool = field(default=False, metadata={"help": "Pin batches for a GPU."})
    seed: int = field(default=0, metadata={"help": "Initialisation, order, crops and augmentation."})

    def __post_init__(self):
        if self.optimiser not in LEARNING_RATES:
            raise RecipeError(f"training.optimiser is {self.optimiser!r}; it must be {' or '.join(LEARNING_RATES)}")
        if self.learning_rate is None:
            self.learning_rate = LEARNING_RATES[self.optimiser]
        if self.optimiser == "scaled_adam":
            self.eden = self.eden or {}
            if self.max_grad_norm not in (0, TrainingArguments.max_grad_norm):
                raise RecipeError(
                    "training.max_grad_norm is not used by scaled_adam; set training.optimiser_options.clipping_scale"
                )
            self.max_grad_norm = 0.0
        elif self.optimiser_options:
            raise RecipeError(
                "training.optimiser_options are those of scaled_adam; adamw has adam_beta1, weight_decay …"
            )
        if self.average_weights_every is not None and self.average_weights_every < 1:
            raise RecipeError(f"training.average_weights_every is {self.average_weights_every}; expected 1 or more")
        super().__post_init__()
        self.label_names = ["labels"]
        if self.batch_size < 1:
            raise RecipeError(f"training.batch_size must be at least 1, found {self.batch_size}")
        if self.train_sampling_strategy != "random":
            raise RecipeError(
                f"training.train_sampling_strategy is {self.train_sampling_strategy!r}; "
                "choose batches with training.sampler instead"
            )
        if self.push_to_hub:
            self._check_push()
        if self.label_smoothing_factor:
            raise RecipeError("training.label_smoothing_factor is not used; set model.label_smoothing")
        self.per_device_train_batch_size = -(-self.batch_size // self.world_size)

    def _check_push(self) -> None:
        if self.hub_strategy != "end":
            raise RecipeError(
                f"training.hub_strategy is {self.hub_strategy.value!r}; only end is possible: what transformers pushes "
                "on the way holds training_args.bin, a pickle, or the optimiser's state, and was not checked to load"
            )
        if self.hub_revision is not None:
            raise RecipeError("training.hub_revision is not used: a push goes to the main branch; remove it")
        missing = [name for name in ("hub_model_id", "hub_license") if not getattr(self, name)]
        if missing:
            raise RecipeError(
                f"training.push_to_hub needs training.{' and training.'.join(missing)}: the repository, you/name, and "
                "the license of the weights, such as apache-2.0 or cc-by-nc-4.0"
            )


def arguments_of(kind: type[DialectTrainingArguments], given: Mapping) -> DialectTrainingArguments:
    """Training arguments from the keys of a recipe.

    Raises:
        RecipeError: a value that does not fit its key.
    """
    # YAML reads no as false
    given = {key: "no" if value is False and key.endswith("_strategy") else value for key, value in given.items()}
    try:
        arguments = kind(**given)
    except RecipeError:
        raise
    except (TypeError, ValueError) as error:
        raise RecipeError(f"the training section does not fit: {error}") from error
    if arguments.push_to_hub:
        check_push(arguments)
        arguments.push_to_hub = False  # what is pushed is the finished run, after its evaluation
    return arguments
