"""The embedded corpus: synthetic speech of 12 rule-based varieties in three clusters.

- 3,840 utterances rendered by eSpeak NG, formant synthesis by rule: 60 parallel sentences per language, in varieties of
  English, of Spanish and Portuguese, and of Vietnamese. No person is heard: scores say nothing about real dialects.
- Training, validation and test share neither voices nor sentences.
- No `--source` is needed: the corpus is rendered on this machine, in about half a minute, and needs espeakng-loader.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from hf_dialects.data.prepare import run_script
from hf_dialects.data.synthetic import load_embedded

LICENSE = "Apache-2.0"
CITATION = "hf-dialects, embedded corpus; speech synthesised with eSpeak NG"
RECORDINGS = 3840
SHARING = "allowed"
NEEDS_SOURCE = False


def rows(source: Path | None = None) -> Iterator[dict]:
    """Rows of the corpus; `source` is not looked at."""
    for split, dataset in load_embedded(progress=False).items():
        names = {column: dataset.features[column].names for column in ("dialect", "cluster")}
        for row in dataset:
            yield {**row, **{column: names[column][row[column]] for column in names}, "split": split}


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
