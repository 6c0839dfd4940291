"""The words about a results file, which stay where a benchmark writes its numbers anew."""

from pathlib import Path

HEADING = "## Reading"


def write_results(path: Path, lines: list[str]) -> None:
    """Write lines, and behind them the section "Reading" that the file has had, if any."""
    old = path.read_text(encoding="utf-8") if path.is_file() else ""
    _, heading, words = old.partition(HEADING)
    text = "\n".join(lines).rstrip() + "\n"
    path.write_text(text + (f"\n{heading}{words}" if heading else ""), encoding="utf-8")
