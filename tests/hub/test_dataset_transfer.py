"""A shared corpus arrives whole or not at all; shards that have arrived are not sent again."""

from hashlib import sha256

import loopback_hub
import pytest
from huggingface_hub import HfApi
from loopback_hub import READER, WRITER
from sharable import PEOPLE, TAKES, prepared, share, tables

from hf_dialects.errors import DialectError

REPO = "me/villages"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("villages"))


@pytest.mark.parametrize("phase", ["preupload", "objects/batch", "PUT /_lfs/", "one shard", "/commit/"])
def test_a_push_cut_off_for_good_leaves_no_half_dataset_and_goes_on(hub, corpus, naps, phase):
    if phase == "one shard":  # the same rows and key give the same bytes
        share(corpus, hub)
        shard = hub.repositories["dataset", REPO].files["data/train-00000-of-00001.parquet"]
        phase = f"PUT /_lfs/{sha256(shard).hexdigest()}"
    with loopback_hub.serve() as hub:
        fault = hub.fault(phase, drop="request", times=10_000)
        with pytest.raises(DialectError, match="the repository holds all of this push or nothing of it"):
            share(corpus, hub)
        assert [commit.title for commit in hub.repositories["dataset", REPO].commits] == ["initial commit"]
        (corpus / "hub.part").mkdir()
        (corpus / "hub.part" / "left.txt").write_text("by a process that was killed")
        fault.times, arrived = 0, set(hub.stored)
        assert len(arrived) == (3 if "commit" in phase else 2 if len(phase) > 20 else 0)
        before = len(hub.requests("PUT /_lfs/"))
        share(corpus, hub)
        assert not {one.path.split("/")[-1] for one in hub.requests("PUT /_lfs/")[before:]} & arrived
        assert len(hub.stored) == 3
        assert sum(map(len, tables(hub).values())) == len(PEOPLE) * TAKES - 1
        assert len(hub.repositories["dataset", REPO].commits) == 2
        assert "left.txt" not in repr(sorted(hub.repositories["dataset", REPO].files))


@pytest.mark.parametrize("phase", ["PUT /_lfs/", "/commit/"])
def test_an_answer_that_is_lost_makes_no_second_commit(hub, corpus, naps, phase):
    fault = hub.fault(phase, drop="answer")
    share(corpus, hub)
    assert fault.times == 0
    assert len(hub.repositories["dataset", REPO].commits) == 2


def test_shards_of_an_earlier_push_are_removed_and_those_of_others_refused(hub, corpus, monkeypatch):
    share(corpus, hub, "me/shorter")
    rows = tables(hub, "me/shorter")
    monkeypatch.setattr("hf_dialects.hub.dataset_shards.SHARD_BYTES", 20_000)
    monkeypatch.setattr("hf_dialects.hub.dataset_shards.ROW_GROUP", 2)
    share(corpus, hub, "me/shorter")
    assert tables(hub, "me/shorter") == rows
    files = [path for path in hub.repositories["dataset", "me/shorter"].files if path.startswith("data/train")]
    assert len(files) == int(files[0][-13:-8]) > 1
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    api.upload_file(path_or_fileobj=b"x", path_in_repo="data/mine.parquet", repo_id="me/shorter", repo_type="dataset")
    with pytest.raises(DialectError, match=r"holds data/mine\.parquet, which no push of ours wrote"):
        share(corpus, hub, "me/shorter")


@pytest.mark.parametrize(("private", "seen"), [(True, "private: publish it"), (False, "public: push with --public")])
def test_nothing_goes_where_others_see_it_than_asked_for(hub, corpus, private, seen):
    repo = f"me/private-{private}"
    HfApi(endpoint=hub.endpoint, token=WRITER).create_repo(repo, repo_type="dataset", private=private)
    before = len(hub.received)
    with pytest.raises(DialectError, match=f"{repo} exists and is {seen}"):
        share(corpus, hub, repo, public=private)
    assert not [one for one in hub.received[before:] if "preupload" in one.path or "commit" in one.path]


def test_files_of_the_manifest_go_and_a_spoilt_manifest_removes_nothing(hub, corpus):
    share(corpus, hub)
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    given = {"repo_id": REPO, "repo_type": "dataset"}
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="notes.md", **given)
    api.upload_file(path_or_fileobj=b'{"files": ["gone.txt", "notes.md", 7]}', path_in_repo="hf-dialects.json", **given)
    share(corpus, hub)
    assert "notes.md" not in hub.repositories["dataset", REPO].files
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="notes.md", **given)
    api.upload_file(path_or_fileobj=b"[", path_in_repo="hf-dialects.json", **given)
    share(corpus, hub)
    assert hub.repositories["dataset", REPO].files["notes.md"] == b"mine"


def test_a_token_that_may_not_write_is_told_so(hub, corpus, naps, monkeypatch):
    monkeypatch.setattr("sharable.WRITER", READER)
    with pytest.raises(DialectError, match=r"your token may not write there.*\(the Hub answered 403\)"):
        share(corpus, hub)
    assert (naps, hub.repositories) == ([], {})
