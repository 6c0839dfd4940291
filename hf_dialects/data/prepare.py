"""A corpus in its original layout → a dataset folder in the corpus schema: Parquet with audio inside, and a card."""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType

from hf_dialects.data.script_options import read_options
from hf_dialects.data.shard_plan import UNSPLIT, Plan, plan_shards
from hf_dialects.data.shards import write_shards
from hf_dialects.errors import CorpusError

CARD = """---
license: {licence_tag}
task_categories:
- audio-classification
configs:
- config_name: default
  data_files:
{data_files}
---

# {title}

{facts}
{options}
| dialect | recordings | hours | speakers |
|---|---|---|---|
{table}

Licence: {licence}

Citation: {citation}

Columns: {columns}.
"""


def prepare_corpus(
    script: ModuleType,
    source: Path | None,
    out: Path,
    expect_complete: bool = False,
    progress: bool = True,
    report: Callable[[str], None] = print,
    options: Sequence[str] = (),
) -> Plan:
    """Write a corpus that one of the dataset scripts reads. The same call again goes on where it stopped.

    Args:
        script: module with a docstring, `LICENSE`, `CITATION`, `RECORDINGS` and `rows(source, **options)`; with
            `NEEDS_SOURCE = False` where its rows come from elsewhere.
        source: folder with the corpus in its original layout.
        out: folder to write: `data/*.parquet`, `README.md`, `prepare.json`.
        expect_complete: raise unless the corpus holds `RECORDINGS` recordings; else a difference is only reported.
        report: called with sentences for people.
        options: of the corpus, each KEY=VALUE; the keys are the keyword-only parameters of its `rows`.

    Raises:
        CorpusError: an unknown option, the source is not as the corpus describes itself, or `out` holds something else.
    """
    if source is None and getattr(script, "NEEDS_SOURCE", True):
        raise CorpusError("--source is missing; give the folder that holds the corpus in its original layout")
    if source is not None and not source.is_dir():
        raise CorpusError(f"{source} is not a folder; give the folder that holds the corpus in its original layout")
    rows = partial(script.rows, source, **read_options(script.rows, options))
    plan = plan_shards(rows)
    if script.RECORDINGS is not None and plan.n_rows != script.RECORDINGS:
        found = f"{source or 'the corpus'} holds {plan.n_rows:,} recordings"
        message = f"{found}; the published corpus holds {script.RECORDINGS:,}"
        if expect_complete:
            raise CorpusError(f"{message}. Complete the copy, or prepare what is there without --expect-complete")
        report(f"warning: {message}")
    report(f"{plan.n_rows:,} recordings, {plan.n_bytes / 2**20:,.1f} MiB of audio, {len(plan.shards)} files")
    write_shards(rows, plan, out, progress)
    written = read_counted(plan, out)
    unreadable = written["id"][written["duration"].isna()].tolist()
    if unreadable:
        report(f"warning: {len(unreadable)} recordings cannot be read as audio: {', '.join(unreadable[:5])}")
    (out / "README.md").write_text(card(script, plan, written, options), encoding="utf-8")
    return plan


def card(script: ModuleType, plan: Plan, written, options: Sequence[str] = ()) -> str:
    """The README.md of a prepared corpus.

    Args:
        written: from `read_counted`.
        options: those that it was prepared with.
    """
    title, _, facts = (script.__doc__ or "").strip().partition("\n")
    splits = dict.fromkeys(shard.split for shard in plan.shards)
    return CARD.format(
        licence_tag=licence_tag(script),
        data_files="\n".join(
            f"  - split: {'train' if split == UNSPLIT else split}\n    path: data/{split}-*" for split in splits
        ),
        title=title.rstrip("."),
        facts=facts.strip(),
        options=f"\nPrepared with {', '.join(options)}.\n" if options else "",
        table="\n".join(f"| {' | '.join(line)} |" for line in count_table(written)),
        licence=script.LICENSE,
        citation=script.CITATION,
        columns=", ".join(f"`{name}`" for name in plan.features()),
    )


def licence_tag(script: ModuleType) -> str:
    """The licence of a corpus as the Hub names it: "cc-by-4.0"; "other" where the script says so first."""
    return script.LICENSE.split(",")[0].lower().replace(" ", "-")


def read_counted(plan: Plan, out: Path):
    """DataFrame of what is counted of every recording: id, dialect (its name), duration and speaker."""
    import pandas as pd

    columns = [name for name in ("id", "dialect", "duration", "speaker") if name in plan.columns]
    frame = pd.concat([pd.read_parquet(out / "data" / shard.name, columns=columns) for shard in plan.shards])
    frame["dialect"] = [plan.labels[code] for code in frame["dialect"]]
    return frame.reindex(columns=["id", "dialect", "duration", "speaker"])


def count_table(written) -> list[tuple[str, str, str, str]]:
    """Name, recordings, hours and speakers of each dialect, then of all."""
    return [
        (name, f"{len(group):,}", f"{group['duration'].sum() / 3600:.2f}", f"{group['speaker'].nunique():,}")
        for name, group in [*written.groupby("dialect"), ("all", written)]
    ]


def run_script(script: ModuleType) -> None:
    """Command line of one dataset script: --source, --out, --expect-complete, and options of the corpus."""
    parser = argparse.ArgumentParser(description=script.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, help="folder with the corpus in its original layout")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--expect-complete", action="store_true", help="fail unless no recording is missing")
    parser.add_argument("options", nargs="*", metavar="KEY=VALUE", help="options of the corpus")
    given = parser.parse_args()
    try:
        prepare_corpus(script, given.source, given.out, given.expect_complete, options=given.options)
    except CorpusError as error:
        sys.exit(f"error: {error}")
