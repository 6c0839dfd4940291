import errno
import shutil
from collections import namedtuple

import pytest
from safetensors import SafetensorError

from hf_dialects.disk import disk_space, whole_file
from hf_dialects.errors import CorpusError, DialectError

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def free(monkeypatch):
    """Sets the bytes that are left on every disk."""

    def free(n_bytes: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40 - n_bytes, n_bytes))

    return free


@pytest.mark.parametrize(
    ("error", "n_bytes"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 5 * 2**20),  # what was half-written is gone again
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2**40),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), 0),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 155456 vs 155348"), 0),
    ],
)
def test_a_full_disk_is_told_with_the_place_and_what_to_do(free, tmp_path, error, n_bytes):
    free(n_bytes)
    with pytest.raises(DialectError) as caught, disk_space(tmp_path / "a" / "b.json", "what is whole stays"):
        raise error
    assert str(caught.value) == (
        f"{tmp_path}/a/b.json could not be written: the disk that holds it is full ({n_bytes / 2**20:,.1f} MiB are "
        "left). Free some space, or name a folder on another disk, and run the same command again; what is whole stays"
    )
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    ("error", "n_bytes"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), 0),
        (RuntimeError("CUDA out of memory"), 2**30),
        (KeyError("dialect"), 0),
        (CorpusError("no label"), 0),
    ],
)
def test_other_errors_are_passed_on(free, tmp_path, error, n_bytes):
    free(n_bytes)
    with pytest.raises(type(error)) as caught, disk_space(tmp_path, "nothing"):
        raise error
    assert caught.value is error


def test_a_real_full_device(tmp_path):
    with pytest.raises(DialectError, match="could not be written"), disk_space(tmp_path / "x", "nothing"):  # noqa: SIM117
        with open("/dev/full", "w") as file:
            file.write("x")


def write_half(path) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_text("half of the sec")
        raise KeyError


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as unfinished:
        unfinished.write_text("first")
        assert not path.exists()
    with pytest.raises(KeyError):
        write_half(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_is_told(free, tmp_path):
    (tmp_path / "file.txt").write_text("old")
    free(0)
    with pytest.raises(DialectError, match=r"file\.txt could not be written: .*; it stays"):  # noqa: SIM117
        with whole_file(tmp_path / "file.txt", "it stays"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert (tmp_path / "file.txt").read_text() == "old"
