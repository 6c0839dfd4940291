"""Training arguments of speech recognition."""

from dataclasses import dataclass, field

from hf_dialects.errors import RecipeError
from hf_dialects.training.arguments import DialectTrainingArguments

__all__ = ["NOT_FOR_ASR", "AsrTrainingArguments"]

NOT_FOR_ASR = (  # fields of `DialectTrainingArguments` that a recipe for speech recognition cannot set
    *("sampler", "sampler_options", "crop_s", "spectral_augment", "balance_classes", "record_dynamics"),
    *("mixup", "mixup_alpha", "mixup_weight_per", "targets", "true_mass", "confidence_from", "confidence_folds"),
    *("datamap", "regions", "train_subset", "align", "align_utterances", "align_temperature", "align_hardness"),
    *("freeze_feature_encoder", "freeze_layers"),
)


@dataclass
class AsrTrainingArguments(DialectTrainingArguments):
    """Arguments of `AsrTrainer`.

    Defaults that differ from `DialectTrainingArguments`: ScaledAdam with Eden, batches by seconds, speed perturbation
    and SpecAugment as icefall has them, and the checkpoint with the fewest character errors on validation is chosen.
    """

    batch_seconds: float = field(
        default=600.0, metadata={"help": "Seconds, padding included, of one forward pass over all processes together."}
    )
    batch_size: int = field(default=1000, metadata={"help": "Utterances of one forward pass at most."})
    speeds: list[float] = field(
        default_factory=lambda: [0.9, 1.0, 1.1],
        metadata={"help": "An epoch holds every utterance once at each of these speeds."},
    )
    spec_augment: dict | None = field(
        default_factory=dict, metadata={"help": "Options of data.spec_augment; null = none."}
    )
    shortest_s: float = field(default=0.1, metadata={"help": "Shorter recordings are left out of training."})
    longest_s: float = field(default=20.0, metadata={"help": "Longer recordings are left out of training."})
    average_since: float = field(
        default=0.5,
        metadata={"help": "With average_weights_every: share of the training after which weights count in the mean."},
    )
    regularisers: dict | None = field(
        default=None,
        metadata={
            "help": "Balancer and Whiten on activations: balancer, whiten, first_batch, see training.regularisers; "
            "{} = both from the start of their schedules, null = neither."
        },
    )
    optimiser: str = field(default="scaled_adam", metadata={"help": "scaled_adam, or adamw."})
    metric_for_best_model: str | None = field(default="cer", metadata={"help": "cer, wer or loss, on validation."})

    def __post_init__(self):
        if not self.batch_seconds > 0:
            raise RecipeError(f"training.batch_seconds is {self.batch_seconds}; expected a number above 0")
        if not 0 <= self.shortest_s < self.longest_s:
            raise RecipeError(
                f"training.shortest_s is {self.shortest_s} and training.longest_s {self.longest_s}; expected the first "
                "to be at least 0 and below the second"
            )
        if not 0 <= self.average_since < 1:
            raise RecipeError(f"training.average_since is {self.average_since}; expected a share below 1")
        self.sampler, self.sampler_options = "buckets", {"max_seconds": self.batch_seconds}
        super().__post_init__()
