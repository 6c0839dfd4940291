"""A finished run as a model repository on the Hub: checked, searched, sent in one commit."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from hf_dialects.errors import DialectError
from hf_dialects.hub.card import CARD, write_card
from hf_dialects.hub.contents import lay_out, listing, places_of, refuse_private
from hf_dialects.hub.figures import write_figures
from hf_dialects.hub.reload import check_reload
from hf_dialects.hub.source import read_source
from hf_dialects.hub.transfer import send, token_to_write, write_manifest


@dataclass(frozen=True)
class Pushed:
    """What went up, or, after a dry run, would go.

    Attributes:
        repo_id: "owner/name".
        files: (path in the repository, bytes), sorted.
        left_out: files of the model folder that stay here.
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
    plain: bool = False,
    card: str | Path | None = None,
    endpoint: str | None = None,
) -> Pushed:
    """Share the model of a finished run, its results and a card.

    Only listed kinds of files go up, never training state, pickles or recordings. They are sent in one commit, so a
    push that was cut off leaves the repository as it was; run again, it sends no large file twice. Files of an earlier
    push that this one does not have are removed.

    Args:
        run_dir: run folder of a classifier, of a training for alignment or of speech recognition; or a folder that
            `save_for_hub` wrote with an encoder or a Zipformer.
        repo_id: "owner/name"; created where it does not exist.
        public: whether everybody may see it.
        license: of the weights, as the Hub names it, such as "apache-2.0" or "cc-by-nc-4.0".
        token: None takes HF_TOKEN, or that of `hf auth login`.
        dry_run: check everything and send nothing.
        plain: send a classifier as one of transformers, without remote code, see `plain.write_plain`.
        card: folder to keep the card and its figures in, too.
        endpoint: address of the Hub; None takes HF_ENDPOINT or huggingface.co.

    Raises:
        CheckpointError: the run is not finished, does not reload bit for bit without this package, or has no equal
            among the classifiers of transformers where one is asked for.
        DialectError: no license, no such owner, a token or a path of this machine in what would go up, a repository
            that is seen by others than asked for, or the Hub cannot be reached.
    """
    check_target(repo_id, license)
    source, token = read_source(run_dir), token or get_token()
    with TemporaryDirectory(prefix="hf-dialects-push-") as place:
        folder = Path(place, "repository")
        folder.mkdir()
        if plain:
            from hf_dialects.hub.plain import write_plain

            source = replace(source, model=Path(place, "plain"), plain=True)
            write_plain(run_dir, source.model)
        left_out = lay_out(run_dir, folder, source.model)
        figures = write_figures(source, folder)
        (folder / CARD).write_text(write_card(source, repo_id, license, figures), "utf-8")
        write_manifest(folder)
        refuse_private(folder, [token] if token else [], places_of(Path(run_dir)))
        check_reload(source.model, folder)
        if card is not None:
            _keep(folder, [CARD, *(one.path for one in figures)], Path(card))
        files = listing(folder)
        if dry_run:
            return Pushed(repo_id, files, left_out)
        url = send(folder, repo_id, public, token_to_write(repo_id, token), endpoint)
    return Pushed(repo_id, files, left_out, url)


def check_target(repo_id: str, license: str | None) -> None:
    """Refuse a push without a license, or to what is no repository of somebody.

    Raises:
        DialectError: says what is missing.
    """
    if not license:
        raise DialectError(
            "a license is missing: name that of the weights with --license, such as apache-2.0, cc-by-4.0 or "
            "cc-by-nc-4.0; the licenses of the encoder and of the corpus bind it"
        )
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise DialectError(f"{repo_id!r} is no name on the Hub: {error}") from error
    if "/" not in repo_id:
        raise DialectError(f"{repo_id!r} has no owner: give you/{repo_id}")


def _keep(folder: Path, paths: list[str], target: Path) -> None:
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / path, target / path)
