"""What all commands share: one clear message on bad input, JSON beside the printed text, quiet libraries."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import typer

from hf_dialects.errors import DialectError

SHOW_TRACEBACK = "HF_DIALECTS_TRACEBACK"


def run(command: Callable[[], object]) -> None:
    """Run a command line; bad input ends it with one message and exit code 1, a defect with its traceback.

    Set the environment variable HF_DIALECTS_TRACEBACK=1 to see where a message comes from.
    """
    try:
        command()
    except (DialectError, ValueError, OSError, ImportError) as error:
        if os.environ.get(SHOW_TRACEBACK):
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.echo("interrupted; run the same command again to go on where it stopped", err=True)
        sys.exit(130)


def start() -> None:
    """Called by a command before its work: registers the models and quiets the libraries' own logs."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import datasets
    from transformers.utils import logging

    import hf_dialects

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    datasets.disable_progress_bars()
    hf_dialects.register()


def write_json(content, path: Path | None) -> None:
    """Write a command's answer as JSON, where a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        typer.echo(f"written: {path}")
