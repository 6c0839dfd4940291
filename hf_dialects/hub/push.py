"""A finished run as a model repository on the Hub: checked, searched, sent in one commit."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_dialects.errors import DialectError
from hf_dialects.evaluation.results import read_results
from hf_dialects.hub.card import CARD, classifier_card
from hf_dialects.hub.contents import lay_out, listing, refuse_private
from hf_dialects.hub.reload import check_reload
from hf_dialects.hub.transfer import send


@dataclass(frozen=True)
class Pushed:
    """What went up, or, after a dry run, would go.

    Attributes:
        repo_id: "owner/name".
        files: (path in the repository, bytes), sorted.
        left_out: files of model/ that stay here.
        url: of the commit; None after a dry run.
    """

    repo_id: str
    files: list[tuple[str, int]]
    left_out: list[str]
    url: str | None = None


def push(
    run_dir: str | Path,
    repo_id: str,
    *,
    public: bool = False,
    license: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    endpoint: str | None = None,
) -> Pushed:
    """Share the model of a finished run, its results and a card.

    Only listed kinds of files go up, never training state, pickles or recordings. They are sent in one commit, so a
    push that was cut off leaves the repository as it was; run again, it sends no large file twice.

    Args:
        run_dir: run folder with model/ and results.json.
        repo_id: "owner/name"; created where it does not exist.
        public: whether everybody may see it.
        license: of the weights, as the Hub names it, such as "apache-2.0" or "cc-by-nc-4.0".
        token: None takes HF_TOKEN, or that of `hf auth login`.
        dry_run: check everything and send nothing.
        endpoint: address of the Hub; None takes HF_ENDPOINT or huggingface.co.

    Raises:
        CheckpointError: the run is not finished, or does not reload bit for bit without this package.
        DialectError: no license, no such owner, a token or a path of this machine in what would go up, a repository
            that is seen by others than asked for, or the Hub cannot be reached.
    """
    if not license:
        raise DialectError(
            "a license is missing: name that of the weights with --license, such as apache-2.0, cc-by-4.0 or "
            "cc-by-nc-4.0; the licenses of the encoder and of the corpus bind it"
        )
    _check_name(repo_id)
    run_dir, token = Path(run_dir), token or get_token()
    results = read_results(run_dir)
    with TemporaryDirectory(prefix="hf-dialects-push-") as place:
        folder = Path(place)
        left_out = lay_out(run_dir, folder)
        (folder / CARD).write_text(classifier_card(run_dir, results, repo_id, license), "utf-8")
        places = [run_dir.absolute(), run_dir.resolve(), Path.home(), Path.home().resolve()]
        refuse_private(folder, [token] if token else [], places)
        check_reload(run_dir, folder)
        files = listing(folder)
        if dry_run:
            return Pushed(repo_id, files, left_out)
        if not token:
            raise DialectError(f"there is no token to write to {repo_id} with: run hf auth login, or set HF_TOKEN")
        url = send(folder, repo_id, public, token, endpoint)
    return Pushed(repo_id, files, left_out, url)


def _check_name(repo_id: str) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise DialectError(f"{repo_id!r} is no name on the Hub: {error}") from error
    if "/" not in repo_id:
        raise DialectError(f"{repo_id!r} has no owner: give you/{repo_id}")
