"""A tiny Zipformer transducer that spells words of speakers it never heard: Arabic Speech Commands.

    python benchmarks/asr_commands.py --data FOLDER

40 words, written by their English names in letters; the authors' split of 18, 6 and 6 speakers. The corpus is a folder
with metadata.csv whose column --text holds the words. The run stands in runs/asr-commands/; the command can be stopped
and started again. Writes benchmarks/asr_commands.md.
"""

import argparse
import json
import time
from pathlib import Path

from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from hf_dialects.cli import shell
from hf_dialects.evaluation.tables import with_interval
from hf_dialects.training.asr_recipe import load_asr_recipe
from hf_dialects.training.asr_run import train_asr

HERE = Path(__file__).parent
SETTINGS = ("training.max_steps=2400", "training.batch_seconds=30", "training.threads=1")
EVERY = 200  # steps between two validations
CLOCK = "cpu_seconds.json"


class Clock(TrainerCallback):
    """CPU seconds of this process at every checkpoint, which a resumed run goes on from."""

    def __init__(self, folder: Path):
        self.folder, self.before = folder, 0.0
        self.seconds: dict[str, float] = {}

    def on_train_begin(self, args, state, control, **kwargs):
        path = Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}", CLOCK)
        self.seconds = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        self.before = self.seconds.get(str(state.global_step), 0.0) - time.process_time()

    def on_evaluate(self, args, state, control, **kwargs):
        self.seconds.setdefault(str(state.global_step), round(self.before + time.process_time(), 1))

    def on_save(self, args, state, control, **kwargs):
        folder = Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}")
        for path in (folder / CLOCK, self.folder / CLOCK):
            path.write_text(json.dumps(self.seconds), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--text", default="keyword_en")
    parser.add_argument("--runs", type=Path, default=Path("runs/asr-commands"))
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_intermixed_args()
    shell.start()
    steps = [f"training.{one}={EVERY}" for one in ("eval_steps", "save_steps")]
    steps += [f"training.{one}_strategy=steps" for one in ("eval", "save")]
    source = (f"data.source={options.data}", f"data.text={options.text}")
    recipe = load_asr_recipe("zipformer_tiny", [*source, *steps, *SETTINGS, *options.overrides])
    results = train_asr(recipe, options.runs, progress=False, callbacks=(Clock(options.runs),))
    text = report(results, options.runs, Path(options.data).name, options.overrides)
    (HERE / "asr_commands.md").write_text(text, encoding="utf-8")
    print(text)


def report(results: dict, run_dir: Path, data: str, overrides: list[str]) -> str:
    """The page: error rates on unseen speakers, words that go wrong, curves."""
    log = json.loads((run_dir / "history.json").read_text("utf-8"))["log"]
    seconds = json.loads((run_dir / CLOCK).read_text("utf-8"))
    splits, chosen = results["data"]["splits"], results["selected_on"]
    weights = "the mean of the weights" if chosen["weights"] == "mean" else chosen["best"]
    command = " ".join(["python benchmarks/asr_commands.py --data", data, *overrides])
    lines = [
        "# asr_commands",
        "",
        f"`{command}`: recipe `zipformer_tiny`, {results['model']['parameters']:,} parameters, "
        f"{results['model']['tokens']} tokens (letters), {', '.join(SETTINGS)}. 40 Arabic words, spelt by their "
        f"English names; {splits['train']['n']} utterances of {splits['train']['speakers']} speakers to train on, "
        f"{splits['validation']['n']} of {splits['validation']['speakers']} to choose by, {splits['test']['n']} of "
        f"{splits['test']['speakers']} to test on, no speaker in two splits. {max(seconds.values()):.0f} s of one core "
        f"for training and validation. Chosen by {chosen['by']} on validation: {weights}.",
        "",
        "| search | word error rate | character error rate | sub. | del. | ins. |",
        "|---|---|---|---|---|---|",
    ]
    for method, found in results["scores"]["test"].items():
        row = found["scores"][0]
        wer = row["wer"]
        shares = " | ".join(f"{wer[kind] / wer['length']:.3f}" for kind in ("substitutions", "deletions", "insertions"))
        lines.append(f"| {method} | {with_interval(wer)} | {with_interval(row['cer'])} | {shares} |")
    lines += ["", "95 % intervals over the test speakers; a word with one wrong letter is wrong.", ""]
    lines += ["| step | CPU s | training loss | validation loss | CER | WER |", "|---|---|---|---|---|---|"]
    losses = {line["step"]: line["loss"] for line in log if "loss" in line}
    for line in (line for line in log if "eval_loss" in line):
        step = line["step"]
        values = (losses.get(step, float("nan")), line["eval_loss"], line["eval_cer"], line["eval_wer"])
        lines.append(f"| {step} | {seconds[str(step)]:.0f} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
