"""Folders reach the Hub whole, over errors and cut connections, and are refused in words."""

import pytest
from huggingface_hub import HfApi
from loopback_hub import READER, STRANGER, WRITER

from hf_dialects.errors import DialectError
from hf_dialects.hub.transfer import MANIFEST, WAITS, send, write_manifest

FILES = {"model.safetensors": b"weights" * 3000, "config.json": b"{}", "figures/one.svg": b"<svg/>"}
PHASES = ("repos/create", "GET /api/models/me/it", "preupload", "objects/batch", "PUT /_lfs/", "/commit/")


@pytest.fixture
def folder(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "it" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "it"


def sent(hub, folder, public=False, token=WRITER) -> str:
    return send(folder, "me/it", public, token, hub.endpoint)


def whole(hub) -> bool:
    return {name: hub.model("me/it").files.get(name) for name in FILES} == FILES


@pytest.mark.parametrize("public", [False, True])
def test_a_folder_goes_up_in_one_commit(hub, folder, public):
    url = sent(hub, folder, public)
    repository = hub.model("me/it")
    assert whole(hub)
    assert repository.private is not public
    assert [commit.title for commit in repository.commits] == ["initial commit", "Model, results and card"]
    assert url == f"{hub.endpoint}/me/it/commit/{repository.commits[-1].oid}"


@pytest.mark.parametrize(
    ("repo_type", "title", "place"),
    [("dataset", "Corpus and card", "datasets/me/it"), ("space", "Page for recordings", "spaces/me/it")],
)
def test_datasets_and_spaces_arrive_and_are_tidied_alike(hub, folder, repo_type, title, place):
    send(folder, "me/it", False, WRITER, hub.endpoint, repo_type=repo_type)
    write_manifest(folder, key="one")
    send(folder, "me/it", False, WRITER, hub.endpoint, repo_type=repo_type)
    (folder / "config.json").unlink()
    write_manifest(folder)
    asked = []
    url = send(
        folder, "me/it", False, WRITER, hub.endpoint, repo_type=repo_type, check=lambda *given: asked.append(given)
    )
    repository = hub.repositories[repo_type, "me/it"]
    assert set(repository.files) == {*FILES, MANIFEST, ".gitattributes"} - {"config.json"}
    assert [commit.title for commit in repository.commits] == ["initial commit", title, title, title]
    assert url == f"{hub.endpoint}/{place}/commit/{repository.commits[-1].oid}"
    paths = {*FILES, MANIFEST, ".gitattributes"}
    assert asked == [(paths, {"files": sorted(paths - {".gitattributes"}), "key": "one"})]


def test_a_check_refuses_before_anything_is_sent(hub, folder):
    def refuse(found, manifest):
        assert (found, manifest) == ({".gitattributes"}, {})
        raise DialectError("not there")

    with pytest.raises(DialectError, match="not there"):
        send(folder, "me/it", False, WRITER, hub.endpoint, check=refuse)
    assert hub.requests("preupload|_lfs|/commit/") == []


@pytest.mark.parametrize("phase", PHASES)
def test_two_errors_of_the_server_are_waited_out(hub, folder, naps, phase):
    fault = hub.fault(phase, status=503, times=2)
    sent(hub, folder)
    assert fault.times == 0
    assert whole(hub)
    assert naps == [1, 2]
    assert len(hub.model("me/it").commits) == 2


@pytest.mark.parametrize("drop", ["request", "answer"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_cut_connection_costs_another_try_and_makes_no_second_commit(hub, folder, naps, phase, drop):
    fault = hub.fault(phase, drop=drop)
    sent(hub, folder)
    assert fault.times == 0
    assert whole(hub)
    assert len(hub.model("me/it").commits) == 2
    arrived = [one for one in hub.requests("PUT /_lfs/") if one.body]
    assert len(arrived) == 1 + (phase.startswith("PUT") and drop == "answer")


@pytest.mark.parametrize("phase", PHASES[2:])
def test_a_push_that_failed_for_good_leaves_no_half_commit_and_goes_on(hub, folder, naps, phase):
    fault = hub.fault(phase, drop="request", times=1000)
    with pytest.raises(
        DialectError, match=r"the connection to the Hub was cut, 6 times; .* all of this push or nothing"
    ):
        sent(hub, folder)
    assert set(WAITS) <= set(naps)
    assert [commit.title for commit in hub.model("me/it").commits] == ["initial commit"]
    before = len(hub.requests("PUT /_lfs/"))
    assert before == (phase == "/commit/")
    fault.times = 0
    sent(hub, folder)
    assert whole(hub)
    assert len(hub.requests("PUT /_lfs/")) == 1, "what had arrived was not sent again"


def test_pushing_again_sends_only_what_changed(hub, folder):
    first = sent(hub, folder)
    assert sent(hub, folder) == first, "nothing changed"
    (folder / "config.json").write_bytes(b'{"new": 1}')
    assert sent(hub, folder) != first
    assert hub.model("me/it").files["config.json"] == b'{"new": 1}'
    assert len(hub.requests("PUT /_lfs/")) == 1
    last = hub.requests("POST .*/commit/")[-1].body
    assert b"config.json" in last
    assert b"safetensors" not in last


def test_files_of_an_earlier_push_that_are_gone_are_removed_in_the_same_commit(hub, folder):
    write_manifest(folder)
    sent(hub, folder)
    api = HfApi(endpoint=hub.endpoint, token=WRITER)
    api.upload_file(path_or_fileobj=b"mine", path_in_repo="figures/mine.png", repo_id="me/it")
    (folder / "figures" / "one.svg").unlink()
    (folder / "new.json").write_text("{}")
    write_manifest(folder)
    sent(hub, folder)
    repository = hub.model("me/it")
    kept = {"model.safetensors", "config.json", "new.json", MANIFEST}
    assert set(repository.files) == kept | {".gitattributes", "figures/mine.png"}
    assert len(repository.commits) == 4, "initial, first push, upload of mine, second push"


@pytest.mark.parametrize("drop", ["request", "answer"])
def test_removing_over_a_cut_connection(hub, folder, naps, drop):
    write_manifest(folder)
    sent(hub, folder)
    (folder / "figures" / "one.svg").unlink()
    write_manifest(folder)
    hub.fault("/commit/", drop=drop)
    sent(hub, folder)
    assert "figures/one.svg" not in hub.model("me/it").files
    assert len(hub.model("me/it").commits) == 3


@pytest.mark.parametrize("fault", [{"status": 503}, {"drop": "request"}, {"drop": "middle"}], ids=str)
def test_the_manifest_over_a_bad_connection(hub, folder, naps, fault):
    write_manifest(folder)
    sent(hub, folder)
    (folder / "figures" / "one.svg").unlink()
    write_manifest(folder)
    failing = hub.fault(f"GET /me/it/resolve/main/{MANIFEST}", **fault)
    sent(hub, folder)
    assert (failing.times, naps) == (0, [1])
    assert "figures/one.svg" not in hub.model("me/it").files


@pytest.mark.parametrize("content", [b"[", b"{}", b'{"files": 3}', b'{"files": ["nowhere.txt", 7]}'])
def test_a_spoilt_manifest_removes_nothing(hub, folder, content):
    (folder / MANIFEST).write_bytes(content)
    sent(hub, folder)
    (folder / "figures" / "one.svg").unlink()
    write_manifest(folder)
    sent(hub, folder)
    assert set(FILES) < set(hub.model("me/it").files)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_unheardOf", r"your token is not valid, or has expired: run hf auth login.*\(the Hub answered 401\)"),
        (READER, r"your token may not write there: take one with write access.*\(the Hub answered 403\)"),
        (STRANGER, r"your token may not write there"),
    ],
)
def test_refusals_say_what_to_do_and_are_not_repeated(hub, folder, naps, token, message):
    with pytest.raises(DialectError, match=message) as refused:
        sent(hub, folder, token=token)
    assert token not in str(refused.value)
    assert (naps, hub.repositories) == ([], {})


@pytest.mark.parametrize(("status", "message"), [(404, "no such repository"), (409, "at the same time")])
def test_refusals_during_the_commit(hub, folder, naps, status, message):
    hub.fault("/commit/", status=status, times=1000)
    with pytest.raises(DialectError, match=message):
        sent(hub, folder)
    assert naps == []


def test_a_server_that_stays_broken_is_told_so(hub, folder, naps):
    hub.fault("/commit/", status=500, times=1000)
    with pytest.raises(DialectError, match=r"me/it: the Hub answered 500, 6 times; .* Run the same command again"):
        sent(hub, folder)
    assert naps == list(WAITS)


@pytest.mark.parametrize(("private", "message"), [(True, "exists and is private"), (False, "exists and is public")])
def test_nothing_goes_where_others_see_it_than_asked_for(hub, folder, private, message):
    HfApi(endpoint=hub.endpoint, token=WRITER).create_repo("me/it", private=private)
    with pytest.raises(DialectError, match=message):
        sent(hub, folder, public=private)
    assert hub.requests("preupload|_lfs|/commit/") == []
