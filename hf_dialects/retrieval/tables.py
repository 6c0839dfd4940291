"""Tables of a retrieval result as Markdown and LaTeX."""

import pandas as pd

from hf_dialects.metrics.intervals import Interval

NONE = "–"
HARDEST = 10
SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}


def percent(table: pd.DataFrame) -> pd.DataFrame:
    """Shares as percent with one decimal, "–" for NaN."""
    return table.map(lambda value: NONE if pd.isna(value) else f"{100 * value:.1f}")


def markdown(table: pd.DataFrame, corner: str = "") -> str:
    """A table of texts with its row names."""
    lines = [[corner, *map(str, table.columns)], ["---", *["---:"] * table.shape[1]]]
    lines += [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def latex(table: pd.DataFrame) -> str:
    """A `tabular` of texts with its row names."""
    lines = [["", *map(str, table.columns)]]
    lines += [[str(name), *map(str, row)] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    head, *body = (" & ".join("".join(SPECIAL.get(c, c) for c in cell) for cell in line) + r" \\" for line in lines)
    rows = [rf"\begin{{tabular}}{{l{'r' * table.shape[1]}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
    return "\n".join([*rows, r"\end{tabular}"]) + "\n"


def markdown_page(result) -> str:
    """All of a `RetrievalResult`."""
    whole = {name: result.interval(name) for name in result.metrics}
    n_pairs, n_groups = len(result.parallel.pairs), len(result.parallel.groups)
    head = f"{len(result.parallel.sites)} {result.parallel.places}, {n_pairs} ordered pairs, "
    head += f"{len(result.source)} queries. "
    head += "; ".join(f"{name} {interval}" for name, interval in whole.items()) + "."
    parts = [f"# Retrieval between {result.parallel.places}", head]
    if n_groups > 1:
        parts += ["Recall@1 in percent, rows are sources:", markdown(percent(result.matrix), "from / to")]
        parts += [
            f"with intervals over {result.parallel.places} and sentences:",
            markdown(_intervals(result), "from / to"),
        ]
        parts += ["MRR in percent:", markdown(percent(result.groups("mrr")), "from / to")]
    parts += ["Controls, in percent:", markdown(percent(result.controls), "retrieved by")]
    hubs = result.hubs.groupby("score", sort=False).agg({"skewness": "mean", "share": "max"})
    hubs = hubs.map("{:.3f}".format).set_axis(["mean skewness", "largest share of one target"], axis=1)
    parts += ["Hubs, how often a target comes first:", markdown(hubs, "score")]
    hardest = result.sentences.head(HARDEST).set_index("sentence").drop(columns="n")
    parts += ["Hardest sentences, in percent:", markdown(percent(hardest), "sentence")]
    if result.overlap is not None:
        fifths = [f"{low:.1f} to {high:.1f}" for low, high in result.overlap[["low", "high"]].to_numpy()]
        shown = percent(result.overlap[result.metrics]).assign(n=result.overlap["n"]).set_axis(fifths)
        parts += ["By share of common words, in percent:", markdown(shown, "share")]
    return "\n\n".join([*parts, *result.notes]) + "\n"


def _intervals(result) -> pd.DataFrame:
    def cell(row: str, column: str) -> str:
        return NONE if pd.isna(result.matrix.loc[row, column]) else _short(result.interval(source=row, target=column))

    groups = result.parallel.groups
    return pd.DataFrame([[cell(row, column) for column in groups] for row in groups], groups, groups)


def _short(interval: Interval) -> str:
    ends = f"[{100 * interval.low:.0f}, {100 * interval.high:.0f}]"
    return ends if interval.warning is None else f"{ends} {interval.warning}"
