"""Files to a repository on the Hub, over a network that fails now and then."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import httpx2
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from hf_dialects.errors import DialectError
from hf_dialects.hub.contents import listing

MANIFEST = "hf-dialects.json"  # in the repository: which of its files a push wrote
MESSAGES = {"model": "Model, results and card", "dataset": "Corpus and card", "space": "Page for recordings"}
SPACE_SDK = "gradio"
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


def send(
    folder: Path,
    repo_id: str,
    public: bool,
    token: str,
    endpoint: str | None = None,
    *,
    repo_type: str = "model",
    check: Callable[[set[str], Mapping], None] | None = None,
) -> str:
    """Send all files of a folder to a repository, in one commit; what is there already is not sent again.

    Files that an earlier push wrote, by its manifest, and this one does not have are removed in the same commit; others
    stay. Tries again, later and later, where the Hub fails or the connection is cut.

    Args:
        repo_type: "model", "dataset" or "space", which is then one of Gradio.
        check: called with the paths that are in the repository and the manifest of the last push, empty where there is
            none, before anything is sent; it refuses by raising.

    Returns:
        address of the commit.

    Raises:
        DialectError: the Hub refuses, or cannot be reached; no part of the commit is then there. Or the
            repository exists and is seen by others than `public` says.
    """
    api = HfApi(endpoint=endpoint, token=token)
    sdk = SPACE_SDK if repo_type == "space" else None
    options = {"repo_type": repo_type, "private": not public, "exist_ok": True, "space_sdk": sdk}
    patiently(lambda: api.create_repo(repo_id, **options), repo_id)
    found = patiently(lambda: api.repo_info(repo_id, repo_type=repo_type), repo_id)
    if found.private and public:
        raise DialectError(f"{repo_id} exists and is private: publish it in its settings first, or leave out --public")
    if not found.private and not public:
        raise DialectError(f"{repo_id} exists and is public: push with --public, or to another repository")

    paths, there = [path for path, _ in listing(folder)], _paths(found)
    manifest = patiently(lambda: _manifest(api, repo_id, repo_type), repo_id) if MANIFEST in there else {}
    if check is not None:
        check(there, manifest)
    stale = set(manifest.get("files", ())) - set(paths)

    def commit():
        # operations remember that they were sent, and files may be gone by an answer that was lost: each try is new
        operations = [CommitOperationAdd(path, str(folder / path)) for path in paths]
        gone = stale and stale & _paths(api.repo_info(repo_id, repo_type=repo_type))
        operations += [CommitOperationDelete(path) for path in sorted(gone)]
        return api.create_commit(repo_id, operations, commit_message=MESSAGES[repo_type], repo_type=repo_type)

    return patiently(commit, repo_id).commit_url


def token_to_write(repo_id: str, token: str | None = None) -> str:
    """The token that is given, else HF_TOKEN, else that of `hf auth login`.

    Raises:
        DialectError: there is none.
    """
    if found := token or get_token():
        return found
    raise DialectError(f"there is no token to write to {repo_id} with: run hf auth login, or set HF_TOKEN")


def write_manifest(folder: Path, **notes) -> None:
    """Write into a folder which files it holds, so that a later push knows what it may remove, and notes for it."""
    files = sorted({path for path, _ in listing(folder)} | {MANIFEST})
    text = json.dumps({"files": files, **notes}, indent=1, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, "utf-8")


def _manifest(api: HfApi, repo_id: str, repo_type: str) -> dict:
    """What the last push wrote of itself; nothing where somebody has spoilt the manifest."""
    url = hf_hub_url(repo_id, MANIFEST, repo_type=repo_type, endpoint=api.endpoint)
    answer = get_session().get(url, headers=build_hf_headers(token=api.token), follow_redirects=True)
    hf_raise_for_status(answer)
    try:
        content = answer.json()
        return {**content, "files": [one for one in content["files"] if isinstance(one, str)]}
    except (ValueError, KeyError, TypeError):
        return {}


def _paths(info) -> set[str]:
    return {one.rfilename for one in info.siblings or ()}


def patiently(call: Callable[[], Answer], repo_id: str) -> Answer:
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
