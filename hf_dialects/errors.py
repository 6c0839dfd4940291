"""Errors a user can do something about. Layer 0: imports nothing of the package.

Each message says what was found, where, what was expected and what to do. The command line prints it
and leaves with exit code 1; everything else is a defect and shows its traceback.
"""


class DialectError(ValueError):
    """Base of all errors raised on purpose by hf_dialects."""


class AudioError(DialectError):
    """A recording cannot be used: missing, corrupt, empty, silent or not finite.

    Args:
        message: the whole sentence for people.
        reason: one of the short words that `results.json` counts ("missing", "corrupt", "empty", "silent", "not
            finite", "too short").
    """

    def __init__(self, message: str, reason: str = "corrupt"):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):  # keeps `reason` when a data-loader worker sends the error to its parent
        return type(self), (self.args[0], self.reason)


class CorpusError(DialectError):
    """A corpus cannot be used: missing column, unknown label, duplicate id, unsafe path, leaking split."""


class RecipeError(DialectError):
    """A recipe or a command-line override names something that does not exist or does not fit."""


class CheckpointError(DialectError):
    """A saved model or run is incomplete, truncated or does not fit the data."""


class MissingExtra(DialectError, ImportError):
    """An optional dependency is not installed; the message carries the pip line."""
