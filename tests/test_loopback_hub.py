"""The loopback Hub answers huggingface_hub's own client as the Hub does."""

import json
from pathlib import Path

import pytest
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session
from loopback_hub import READER, STRANGER, WRITER

LARGE = bytes(range(256)) * 1000


def api(hub, token=WRITER) -> HfApi:
    return HfApi(endpoint=hub.endpoint, token=token)


def filled(hub, private: bool = False, id: str = "me/model", kind: str = "model") -> HfApi:
    writer = api(hub)
    writer.create_repo(id, private=private, repo_type=kind, space_sdk="static" if kind == "space" else None)
    files = {"weights.safetensors": LARGE, "config.json": b"{}", "figures/one.svg": b"<svg/>"}
    writer.create_commit(id, [CommitOperationAdd(*one) for one in files.items()], commit_message="all", repo_type=kind)
    return writer


@pytest.mark.parametrize("kind", ["model", "dataset", "space"])
def test_files_come_back_as_they_went(hub, tmp_path, kind):
    writer = filled(hub, id="me/it", kind=kind)
    paths = {"local_dir": tmp_path, "repo_type": kind}
    folder = writer.snapshot_download("me/it", **paths)
    assert (tmp_path / "weights.safetensors").read_bytes() == LARGE
    assert (tmp_path / "config.json").read_bytes() == b"{}"
    assert folder == str(tmp_path)
    assert len(hub.requests("PUT /_lfs/")) == 1, "only the large file goes over LFS"


def test_tree_and_paths_tell_sizes_and_folders(hub):
    reader = filled(hub)
    top = {one.path: one for one in reader.list_repo_tree("me/model")}
    assert set(top) == {".gitattributes", "weights.safetensors", "config.json", "figures"}
    assert (top["weights.safetensors"].size, top["weights.safetensors"].lfs.size) == (len(LARGE), len(LARGE))
    assert top["config.json"].lfs is None
    assert [one.path for one in reader.list_repo_tree("me/model", "figures")] == ["figures/one.svg"]
    assert "figures/one.svg" in {one.path for one in reader.list_repo_tree("me/model", recursive=True)}
    assert [one.size for one in reader.get_paths_info("me/model", ["config.json", "absent"])] == [2]
    assert reader.file_exists("me/model", "config.json")
    assert not reader.file_exists("me/model", "absent")
    with pytest.raises(EntryNotFoundError):
        list(reader.list_repo_tree("me/model", "absent"))


def test_revisions_branches_and_tags(hub, tmp_path):
    writer = filled(hub)
    before = writer.model_info("me/model").sha
    writer.create_tag("me/model", tag="v1")
    writer.create_branch("me/model", branch="other")
    operations = [CommitOperationAdd("config.json", b"new"), CommitOperationDelete("figures/one.svg")]
    after = writer.create_commit("me/model", operations, commit_message="second", parent_commit=before).oid
    assert (hub.model("me/model").files["config.json"], writer.model_info("me/model").sha) == (b"new", after)
    assert "figures/one.svg" not in hub.model("me/model").files
    for revision in (before, "v1", "other"):
        folder = tmp_path / revision
        path = writer.hf_hub_download("me/model", "config.json", revision=revision, local_dir=folder)
        assert Path(path).read_bytes() == b"{}"
    refs = writer.list_repo_refs("me/model")
    assert ({one.name for one in refs.branches}, [one.name for one in refs.tags]) == ({"main", "other"}, ["v1"])
    with pytest.raises(RevisionNotFoundError):
        writer.model_info("me/model", revision="absent")
    operation = CommitOperationAdd("config.json", b"late")
    with pytest.raises(HfHubHTTPError, match="412"):
        writer.create_commit("me/model", [operation], commit_message="late", parent_commit=before)
    with pytest.raises(HfHubHTTPError, match="409"):
        writer.create_branch("me/model", branch="other")


def test_what_is_there_is_not_sent_again(hub):
    writer = filled(hub)
    commits = len(hub.model("me/model").commits)
    operations = [CommitOperationAdd("weights.safetensors", LARGE), CommitOperationAdd("config.json", b"{}")]
    writer.create_commit("me/model", operations, commit_message="again")
    assert len(hub.model("me/model").commits) == commits, "nothing changed, so there is no commit"
    writer.create_commit("me/model", [CommitOperationAdd("copy.safetensors", LARGE)], commit_message="copy")
    assert hub.model("me/model").files["copy.safetensors"] == LARGE
    assert len(hub.requests("PUT /_lfs/")) == 1


@pytest.mark.parametrize("path", ["config.json", "weights.safetensors"])
def test_ranges(hub, path):
    filled(hub)
    whole = hub.model("me/model").files[path]
    url = f"{hub.endpoint}/me/model/resolve/main/{path}"
    ask = {"follow_redirects": True}
    client = get_session()
    assert client.get(url, headers={"Range": "bytes=1-"}, **ask).content == whole[1:]
    part = client.get(url, headers={"Range": "bytes=0-0"}, **ask)
    assert (part.status_code, part.content) == (206, whole[:1])
    assert part.headers["Content-Range"] == f"bytes 0-0/{len(whole)}"
    assert client.get(url, headers={"Range": f"bytes={len(whole)}-"}, **ask).status_code == 416
    head = client.head(url, **ask)
    assert (int(head.headers["Content-Length"]), head.content) == (len(whole), b"")


def test_private_repositories_are_seen_by_their_owner_only(hub, tmp_path):
    filled(hub, private=True)
    assert api(hub, READER).model_info("me/model").private
    assert api(hub, READER).hf_hub_download("me/model", "config.json", local_dir=tmp_path)
    for token in (False, STRANGER):
        with pytest.raises(RepositoryNotFoundError):
            api(hub, token).model_info("me/model")
        with pytest.raises(RepositoryNotFoundError):
            api(hub, token).hf_hub_download("me/model", "config.json", local_dir=tmp_path / "other")
    api(hub).update_repo_settings("me/model", private=False)
    assert not api(hub, STRANGER).model_info("me/model").private


def test_who_may_not_write_is_told_so(hub):
    filled(hub)
    for token, status in ((False, 401), ("hf_unheardOf", 401), (READER, 403), (STRANGER, 403)):
        with pytest.raises(HfHubHTTPError) as refused:
            api(hub, token).upload_file(path_or_fileobj=b"x", path_in_repo="x", repo_id="me/model")
        assert refused.value.response.status_code == status
    with pytest.raises(HfHubHTTPError, match="409"):
        api(hub).create_repo("me/model")
    assert api(hub).create_repo("me/model", exist_ok=True) == f"{hub.endpoint}/me/model"
    assert api(hub).whoami()["name"] == "me"
    api(hub).delete_repo("me/model")
    with pytest.raises(RepositoryNotFoundError):
        api(hub).model_info("me/model")


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (401, "RepoNotFound", RepositoryNotFoundError),
        (403, "", HfHubHTTPError),
        (404, "RepoNotFound", RepositoryNotFoundError),
        (404, "RevisionNotFound", RevisionNotFoundError),
        (409, "", HfHubHTTPError),
        (500, "", HfHubHTTPError),
    ],
)
def test_errors_on_demand(hub, status, code, error):
    reader = filled(hub)
    fault = hub.fault("GET /api/models/me/model", status=status, code=code)
    with pytest.raises(error) as refused:
        reader.model_info("me/model")
    assert refused.value.response.status_code == status
    assert fault.times == 0
    assert reader.model_info("me/model").id == "me/model"


def test_the_client_gets_over_errors_and_cut_connections_of_lfs(hub, naps):
    hub.fault("PUT /_lfs/", status=503, times=2)
    hub.fault("PUT /_lfs/", drop="request")
    hub.fault("objects/batch", drop="answer")
    filled(hub)
    assert hub.model("me/model").files["weights.safetensors"] == LARGE
    assert naps == [1, 1, 2, 4]


def test_a_download_cut_off_goes_on_where_it_stopped(hub, naps, tmp_path):
    reader = filled(hub)
    hub.fault("GET /_lfs/", drop="middle")
    path = reader.hf_hub_download("me/model", "weights.safetensors", local_dir=tmp_path)
    assert Path(path).read_bytes() == LARGE
    assert len(hub.requests("GET /_lfs/")) == 2


def test_slow_answers_run_into_the_client_s_limit(hub):
    reader = filled(hub)
    hub.fault("GET /api/models", delay_s=0.5)
    with pytest.raises(Exception, match="timed out"):
        reader.model_info("me/model", timeout=0.1)
    assert reader.model_info("me/model", timeout=5).id == "me/model"


def test_half_a_large_file_is_not_stored(hub):
    answer = get_session().put(f"{hub.endpoint}/_lfs/{'0' * 64}", content=LARGE[:100])
    assert (answer.status_code, hub.stored) == (400, {})


def test_headers_of_cards_are_checked(hub):
    writer = filled(hub)
    result = {"task": {"type": "audio-classification"}, "dataset": {"type": "x"}, "metrics": [{"type": "accuracy"}]}
    header = json.dumps({"license": "mit", "model-index": [{"name": "m", "results": [result]}]})
    card = f"---\n{header}\n---\n".encode()
    with pytest.raises(ValueError, match=r"dataset\.name is required"):
        writer.upload_file(path_or_fileobj=card, path_in_repo="README.md", repo_id="me/model")
    good = b"---\nlicense: mit\n---\ntext"
    writer.upload_file(path_or_fileobj=good, path_in_repo="README.md", repo_id="me/model")
    assert hub.model("me/model").files["README.md"] == good
