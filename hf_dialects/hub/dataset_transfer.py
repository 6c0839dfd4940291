"""Files to a dataset repository, as `transfer.send` brings them to a model repository."""

from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_url
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

from hf_dialects.errors import DialectError
from hf_dialects.hub.contents import listing
from hf_dialects.hub.transfer import MANIFEST, _paths, _patiently

KIND = "dataset"
SHARDS = "data/"  # where `datasets` would also read what is not ours


def send_dataset(folder: Path, repo_id: str, public: bool, token: str, endpoint: str | None = None) -> str:
    """Send all files of a folder in one commit: shards that have arrived before, in a push cut off, are not sent again.

    Files that an earlier push wrote, by its manifest, and this one does not have are removed in the same commit.

    Returns:
        address of the commit.

    Raises:
        DialectError: the Hub refuses, or cannot be reached; no part of the commit is then there. Or the repository
            exists and is seen by others than `public` says, or holds shards of somebody else.
    """
    api = HfApi(endpoint=endpoint, token=token)
    _patiently(lambda: api.create_repo(repo_id, repo_type=KIND, private=not public, exist_ok=True), repo_id)
    found = _patiently(lambda: api.dataset_info(repo_id), repo_id)
    if found.private == public:
        seen, option = (
            ("private", "publish it in its settings first, or leave out") if public else ("public", "push with")
        )
        raise DialectError(f"{repo_id} exists and is {seen}: {option} --public, or push to another repository")
    paths, there = [path for path, _ in listing(folder)], _paths(found)
    earlier = _patiently(lambda: _manifest(api, repo_id), repo_id) if MANIFEST in there else set()
    foreign = sorted(path for path in there - earlier - set(paths) if path.startswith(SHARDS))
    if foreign:
        raise DialectError(f"{repo_id} holds {foreign[0]}, which no push of ours wrote: name another repository")

    def commit():
        # operations remember that they were sent, and files may be gone by an answer that was lost: each try is new
        operations = [CommitOperationAdd(path, str(folder / path)) for path in paths]
        if stale := earlier - set(paths):
            gone = stale & _paths(api.dataset_info(repo_id))
            operations += [CommitOperationDelete(path) for path in sorted(gone)]
        return api.create_commit(repo_id, operations, commit_message="Corpus and card", repo_type=KIND)

    return _patiently(commit, repo_id).commit_url


def _manifest(api: HfApi, repo_id: str) -> set[str]:
    """Files that the last push wrote; none where somebody has spoilt the manifest."""
    url = hf_hub_url(repo_id, MANIFEST, repo_type=KIND, endpoint=api.endpoint)
    answer = get_session().get(url, headers=build_hf_headers(token=api.token), follow_redirects=True)
    hf_raise_for_status(answer)
    try:
        return {one for one in answer.json()["files"] if isinstance(one, str)}
    except (ValueError, KeyError, TypeError):
        return set()
