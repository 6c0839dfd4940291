"""Damaged recordings: none crashes a reader, hangs it, takes its memory or passes as sound."""

import hashlib
import subprocess
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from damaged import KINDS, REFUSED, damaged, encoded_tones
from damaged_worker import outcomes


@pytest.fixture(scope="module")
def inputs():
    return damaged()


@pytest.fixture(scope="module")
def found(inputs, tmp_path_factory):
    """Outcome of each, and of a prediction over all of them."""
    return outcomes(inputs, 0, tmp_path_factory.mktemp("damaged"))


def digest(inputs) -> str:
    return hashlib.sha256(b"".join(one.content for one in inputs if isinstance(one.content, bytes))).hexdigest()


def test_there_are_500_of_20_kinds_and_the_same_for_the_same_seed(inputs):
    assert Counter(one.kind for one in inputs) == {kind: n for kind, (_, n) in KINDS.items()}
    assert (len(KINDS), len(inputs)) == (20, 500)
    assert not any(one.content == one.intact for one in inputs if one.kind != "name of another format")
    time.sleep(1.1 - time.time() % 1)  # float WAV holds the second in which it was written
    encoded_tones.cache_clear()
    assert digest(damaged()) == digest(inputs) != digest(damaged(seed=1))


def test_none_crashes_hangs_or_passes_as_sound(inputs, found):
    faults = [(one.kind, one.name, *row["faults"]) for one, row in zip(inputs, found, strict=False) if row["faults"]]
    assert faults == []
    assert len(found) == len(inputs) + 1


def test_every_kind_that_must_be_told_apart_is(inputs, found):
    """Guards against expectations that anything meets."""
    outcome = Counter((one.kind, row["outcome"]) for one, row in zip(inputs, found, strict=False))
    for kind in (
        "cut within the samples",
        "absurd rate",
        "samples that are NaN or infinite",
        "no audio under an audio name",
    ):
        assert outcome[kind, REFUSED] == KINDS[kind][1]
    for kind in ("name of another format", "odd rate", "digital silence"):
        assert outcome[kind, "decoded"] == KINDS[kind][1]
    assert sum(one.expected == "either" for one in inputs) < 150


def test_a_job_over_all_of_them_skips_what_is_refused_for_the_same_reasons(inputs, found):
    *rows, predicted = found
    assert predicted["faults"] == []
    reasons = Counter(row["reason"] for row in rows if row["outcome"] == REFUSED)
    assert Counter(predicted["skipped"].values()) == reasons
    assert len(predicted["ids"]) + len(predicted["skipped"]) == len(inputs)


def test_a_recording_that_ends_or_holds_the_process_is_told(tmp_path, monkeypatch):
    """Of the judge: one input kills its process, one never returns."""
    ends = [(-11, ""), (1, "Timeout (0:00:10)!"), (0, "")]
    sent = []

    def run(arguments, **options):
        sent.append(int(arguments[-1]))
        code, errors = ends[len(sent) - 1]
        lines = '{"outcome": "decoded", "faults": []}\n' * (1 if code else 2)
        return SimpleNamespace(returncode=code, stdout=lines, stderr=errors)

    monkeypatch.setattr(subprocess, "run", run)
    rows = outcomes([None] * 5, 0, tmp_path)
    assert [row["outcome"] for row in rows] == ["decoded", "crashed", "decoded", "hung", "decoded", "decoded"]
    assert sent == [0, 2, 4]
