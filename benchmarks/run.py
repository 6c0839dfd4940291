"""Speed ratios, measured side by side in one run.

    python benchmarks/run.py [NAME ...] [--rounds 9]

Runs the functions `bench_*` of the files bench_*.py beside this one, those whose name holds a NAME where one is given,
prints one table and, after a run of all of them, writes it to results.md. Ratios hold across machines better than
times do; goals are about ratios only.
"""

import argparse
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path

from machine import facts
from measure import Row

FOLDER = Path(__file__).parent
HEAD = ("what", "ratio", "goal", "note")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="parts of the names of the benchmarks to run; all without")
    parser.add_argument("--rounds", type=int, default=9, help="rounds of each benchmark (9)")
    options = parser.parse_args()
    machine = facts()
    rows = []
    for name, bench in benchmarks():
        if not options.names or any(part in name for part in options.names):
            print(f"{name} ...", flush=True)
            rows += bench(options.rounds)
    print("\n".join(["", *(f"{name}: {value}" for name, value in machine.items()), "", *table(rows)]))
    if not options.names:
        text = ["# Benchmarks", "", "Written by `make bench`. Ratios are of processor time, medians over rounds."]
        text += ["On a shared machine a few percent either way are noise.", ""]
        text += [f"- {name}: {value}" for name, value in {"rounds": options.rounds, **machine}.items()]
        (FOLDER / "results.md").write_text("\n".join([*text, "", *table(rows)]) + "\n", encoding="utf-8")


def benchmarks() -> Iterator[tuple[str, Callable[[int], list[Row]]]]:
    """(name, function) of every benchmark, by file and in the order of the file."""
    for path in sorted(FOLDER.glob("bench_*.py")):
        module = importlib.import_module(path.stem)
        for name, found in vars(module).items():
            if name.startswith("bench_") and callable(found):
                yield name, found


def table(rows: list[Row]) -> list[str]:
    """A Markdown table with aligned columns."""
    cells = [HEAD, *((row.name, f"{row.ratio:.3f}", row.goal, row.note) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


if __name__ == "__main__":
    main()
