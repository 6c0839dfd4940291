"""Files to a model repository, over a network that fails now and then."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from hf_dialects.errors import DialectError
from hf_dialects.hub.contents import listing

MANIFEST = "hf-dialects.json"  # in the repository: which of its files a push wrote
WAITS = (1, 2, 4, 8, 16)  # seconds between tries
PASSING = (408, 429, *range(500, 600))  # answers that another try may change
REFUSALS = {
    401: "your token is not valid, or has expired: run hf auth login, or set HF_TOKEN",
    403: "your token may not write there: take one with write access, or a repository of your own",
    404: "there is no such repository that you may see: check its name, and whose token you use",
    409: "another change was made at the same time: run the same command again",
    412: "another change was made at the same time: run the same command again",
}

Answer = TypeVar("Answer")


def send(folder: Path, repo_id: str, public: bool, token: str, endpoint: str | None = None) -> str:
    """Send all files of a folder to a model repository, in one commit; what is there already is not sent again.

    Files that an earlier push wrote, by its manifest, and this one does not have are removed in the same commit; others
    stay. Tries again, later and later, where the Hub fails or the connection is cut.

    Returns:
        address of the commit.

    Raises:
        DialectError: the Hub refuses, or cannot be reached; no part of the commit is then there. Or the
            repository exists and is seen by others than `public` says.
    """
    api = HfApi(endpoint=endpoint, token=token)
    _patiently(lambda: api.create_repo(repo_id, private=not public, exist_ok=True), repo_id)
    found = _patiently(lambda: api.model_info(repo_id), repo_id)
    private = found.private
    if private and public:
        raise DialectError(f"{repo_id} exists and is private: publish it in its settings first, or leave out --public")
    if not private and not public:
        raise DialectError(f"{repo_id} exists and is public: push with --public, or to another repository")

    paths = [path for path, _ in listing(folder)]
    earlier = _patiently(lambda: _manifest(api, repo_id), repo_id) if MANIFEST in _paths(found) else set()
    stale = earlier - set(paths)

    def commit():
        # operations remember that they were sent, and files may be gone by an answer that was lost: each try is new
        operations = [CommitOperationAdd(path, str(folder / path)) for path in paths]
        gone = stale and stale & _paths(api.model_info(repo_id))
        operations += [CommitOperationDelete(path) for path in sorted(gone)]
        return api.create_commit(repo_id, operations, commit_message="Model, results and card")

    return _patiently(commit, repo_id).commit_url


def write_manifest(folder: Path) -> None:
    """Write into a folder which files it holds, so that a later push knows what it may remove."""
    files = sorted({path for path, _ in listing(folder)} | {MANIFEST})
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _manifest(api: HfApi, repo_id: str) -> set[str]:
    """Files that the last push wrote; none where somebody has spoilt the manifest."""
    url = hf_hub_url(repo_id, MANIFEST, endpoint=api.endpoint)
    answer = get_session().get(url, headers=build_hf_headers(token=api.token), follow_redirects=True)
    hf_raise_for_status(answer)
    try:
        return {one for one in answer.json()["files"] if isinstance(one, str)}
    except (ValueError, KeyError, TypeError):
        return set()


def _paths(info) -> set[str]:
    return {one.rfilename for one in info.siblings or ()}


def _patiently(call: Callable[[], Answer], repo_id: str) -> Answer:
    """What `call` answers, after more tries where the Hub fails or the connection is cut."""
    for wait in (*WAITS, None):
        try:
            return call()
        except (HfHubHTTPError, httpx2.TransportError, RuntimeError) as error:
            # uploads of large files wrap what went wrong in a RuntimeError
            cause = error if isinstance(error, (HfHubHTTPError, httpx2.TransportError)) else error.__cause__
            status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
            if status is None and not isinstance(cause, httpx2.TransportError):
                raise
            if wait is None or (status is not None and status not in PASSING):
                raise DialectError(_reason(repo_id, status)) from error
        time.sleep(wait)
    raise AssertionError("the last try answers or raises")


def _reason(repo_id: str, status: int | None) -> str:
    if status in REFUSALS:
        return f"{repo_id}: {REFUSALS[status]} (the Hub answered {status})"
    found = "the connection to the Hub was cut" if status is None else f"the Hub answered {status}"
    tries = f", {len(WAITS) + 1} times" if status is None or status in PASSING else ""
    return (
        f"{repo_id}: {found}{tries}; the repository holds all of this push or nothing of it. Run the same command "
        "again: what has arrived is not sent twice"
    )
