import pytest

from hf_dialects.errors import DialectError
from hf_dialects.hub.dataset_key import VARIABLE, read_key


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_a_key_is_made_once_for_its_owner_alone(tmp_path):
    told = []
    first = read_key(tmp_path / "new" / "id.key", told.append)
    assert (len(first), read_key(tmp_path / "new" / "id.key", told.append)) == (32, first)
    assert (tmp_path / "new" / "id.key").stat().st_mode & 0o777 == 0o600
    assert len(told) == 1
    assert first.hex() not in told[0]
    assert read_key(tmp_path / "other.key", told.append) != first


def test_the_variable_comes_first_and_no_file_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "0a" * 32)
    assert read_key(tmp_path / "id.key") == b"\n" * 32
    assert not (tmp_path / "id.key").exists()


@pytest.mark.parametrize("text", ["", "0a0a", "zz" * 32, "0a" * 33])
def test_what_is_no_key_is_refused_and_not_shown(tmp_path, monkeypatch, text):
    (tmp_path / "id.key").touch(0o600)
    (tmp_path / "id.key").write_text(text)
    with pytest.raises(DialectError, match=r"id\.key holds no key: 64 hexadecimal digits are expected") as refused:
        read_key(tmp_path / "id.key")
    monkeypatch.setenv(VARIABLE, "secret")
    with pytest.raises(DialectError, match=f"the environment variable {VARIABLE} holds no key") as refused:
        read_key(tmp_path / "none")
    assert "secret" not in str(refused.value)


def test_a_key_that_others_may_read_is_refused(tmp_path):
    read_key(tmp_path / "id.key", lambda text: None)
    (tmp_path / "id.key").chmod(0o640)
    with pytest.raises(DialectError, match=r"others may read the key .*id\.key: chmod 600"):
        read_key(tmp_path / "id.key")
