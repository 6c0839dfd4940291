"""Models that go to the Hub when their training ends, checked and laid out as `hf-dialects push` does it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from accelerate import PartialState
from datasets import Dataset
from huggingface_hub import get_token

from hf_dialects.errors import RecipeError
from hf_dialects.evaluation.environment import environment
from hf_dialects.evaluation.results import build_results, write_results
from hf_dialects.hub.push import Pushed, check_target, push
from hf_dialects.inference import predict
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.saving import save_for_hub
from hf_dialects.training.recipe import Recipe

__all__ = ["check_push", "push_finished", "push_trained"]


def push_finished(recipe: Recipe, run_dir: Path) -> Pushed | None:
    """Push a finished run, if `training.push_to_hub` says so; on the first process only.

    Raises:
        DialectError: see `hub.push`; the run stays as it is, and the same command pushes it again.
    """
    training = recipe.training
    if not training.get("push_to_hub") or not PartialState().is_main_process:
        return None
    public = training.get("hub_private_repo", True) is False
    return push(run_dir, training.get("hub_model_id") or "", public=public, license=training.get("hub_license"))


def check_push(args) -> None:
    """Say before the training what would stop a push at its end.

    Args:
        args: `DialectTrainingArguments`.

    Raises:
        RecipeError: there is no token.
        DialectError: a repository without owner.
    """
    check_target(args.hub_model_id, args.hub_license)
    if not (args.hub_token or get_token()):
        raise RecipeError("training.push_to_hub needs a token: run hf auth login, or set HF_TOKEN")


def push_trained(trainer, tokenizer=None, public: bool | None = None, token: str | None = None) -> Pushed | None:
    """Push the model of a `DialectTrainer` with what it reaches on its evaluation data; on the first process only.

    A classifier is scored there as in a run, with intervals; cards of other models say that nothing was measured.

    Raises:
        DialectError: see `hub.push`.
    """
    if not trainer.is_world_process_zero():
        return None
    args = trainer.args
    with TemporaryDirectory(prefix="hf-dialects-trained-") as place:
        run_dir = Path(place)
        model = trainer.accelerator.unwrap_model(trainer.model)
        save_for_hub(model, trainer.processing_class, run_dir / "model", tokenizer)
        if isinstance(model, DialectForAudioClassification):
            write_results(_scores(trainer, model), run_dir / "results.json")
        public = args.hub_private_repo is False if public is None else public
        token = token or args.hub_token
        return push(run_dir, args.hub_model_id, public=public, license=args.hub_license, token=token)


def _scores(trainer, model: DialectForAudioClassification) -> dict:
    """results.json of what the trainer was given, without baselines."""
    given = {"train": trainer.train_dataset, "validation": trainer.eval_dataset}
    found = {name: getattr(clips, "dataset", None) for name, clips in given.items()}
    splits = {name: rows for name, rows in found.items() if isinstance(rows, Dataset)}
    was_training, predictions = model.training, {}
    if "validation" in splits:
        held_out = splits["validation"]
        predictions["validation"] = predict(model.eval(), trainer.processing_class, held_out, progress=False)
    model.train(was_training)
    labels = [model.config.id2label[number] for number in range(model.config.num_labels)]
    best = trainer.state.best_model_checkpoint
    selected = {"split": "validation", "by": trainer.args.metric_for_best_model, "checkpoint": best and Path(best).name}
    options = {"seed": trainer.args.seed, "selected_on": selected}
    origin = environment(str(model.device), 0.0)
    return build_results(predictions, splits, labels, model.config.clusters, environment=origin, **options)
