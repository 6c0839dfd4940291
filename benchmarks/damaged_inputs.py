"""What becomes of 500 damaged recordings, by kind of damage.

    python benchmarks/damaged_inputs.py [--seed 0]

Every recording goes through `data.audio.decode`, `data.screen.check_clip`, `load_audio` of the pipeline, every seventh
through the whole pipeline, and all of them through one `inference.predict`. Prints the table and writes
damaged_inputs.md.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import soundfile

FOLDER = Path(__file__).parent
sys.path.insert(0, str(FOLDER.parent / "tests"))

from damaged import KINDS, Damaged, damaged  # noqa: E402
from damaged_worker import LIMIT_BYTES, LIMIT_S, outcomes  # noqa: E402

OUTCOMES = ("refused", "decoded", "crashed", "hung", "wrong")
ABOUT = """# Damaged recordings

Written by `python benchmarks/damaged_inputs.py --seed {seed}`, with soundfile {soundfile} and libsndfile {libsndfile}.
The generator is tests/damaged.py; the same inputs are judged by the tests.

- refused: `decode` raised an `AudioError` that names the file; `load_audio` refused it, too, with a `ValueError`
- decoded: both gave the same finite samples. Where the damage leaves them alone (other name, bytes appended, flipped
  headers) they equal those of the intact recording; flipped samples leave the length as it was. MP3 has no checksums:
  flipped bytes there may change or shorten the sound unnoticed, and only that it is finite is asked
- crashed: another exception, the end of the process, or more than {limit_mib} MiB of memory
- hung: more than {limit_s} s
- wrong: anything else, such as sound that is shorter than it was without a word

Digital silence is decoded, but `check_clip` leaves it out of long jobs. The header of a WAV before other bytes makes
noise of them and can be refused only where its length does not fit.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    inputs = damaged(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        *rows, job = outcomes(inputs, options.seed, Path(folder))
    for one, row in zip(inputs, rows, strict=True):
        for fault in row["faults"]:
            print(f"{one.kind}: {one.name}: {fault}", file=sys.stderr)
    reasons = Counter(job["skipped"].values())
    told = ", ".join(f"{reason} {n}" for reason, n in reasons.most_common())
    versions = {"soundfile": soundfile.__version__, "libsndfile": soundfile.__libsndfile_version__}
    about = ABOUT.format(seed=options.seed, limit_mib=LIMIT_BYTES // 2**20, limit_s=LIMIT_S, **versions)
    text = "\n".join([about, *table(inputs, rows), ""])
    text += f"\nOne job over all of them predicted {len(job['ids'])} and skipped {len(job['skipped'])}: {told}.\n"
    print(text)
    (FOLDER / "damaged_inputs.md").write_text(text, encoding="utf-8")


def table(inputs: list[Damaged], rows: list[dict]) -> list[str]:
    """A Markdown table, a line for each kind and one for all."""
    found = Counter()
    for one, row in zip(inputs, rows, strict=True):
        wrong = row["faults"] and row["outcome"] in ("refused", "decoded")
        found[one.kind, "wrong" if wrong else row["outcome"]] += 1
    lines = [[kind, str(n), *(str(found[kind, outcome]) for outcome in OUTCOMES)] for kind, (_, n) in KINDS.items()]
    totals = [str(sum(found[kind, outcome] for kind in KINDS)) for outcome in OUTCOMES]
    cells = [["kind", "number", *OUTCOMES], *lines, ["all", str(len(inputs)), *totals]]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    drawn = [
        f"| {line[0].ljust(widths[0])} | "
        + " | ".join(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))
        + " |"
        for line in cells
    ]
    rule = f"|{'-' * (widths[0] + 2)}|" + "|".join("-" * (width + 1) + ":" for width in widths[1:]) + "|"
    return [drawn[0], rule, *drawn[1:]]


if __name__ == "__main__":
    main()
