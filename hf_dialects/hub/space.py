"""A Space for a model on the Hub: the page of `hf-dialects serve`, which loads the model at a pinned commit."""

import json
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import HfApi, SpaceCardData, get_token

from hf_dialects.errors import CheckpointError, DialectError
from hf_dialects.extras import require
from hf_dialects.hub.card import CARD, TEMPLATES
from hf_dialects.hub.contents import listing, places_of, refuse_private
from hf_dialects.hub.push import Pushed, check_target
from hf_dialects.hub.source import CLASSIFIER, read_source
from hf_dialects.hub.transfer import SPACE_SDK, patiently, send, token_to_write, write_manifest
from hf_dialects.hub.varieties import varieties_of

APP, SETTINGS, REQUIREMENTS = "app.py", "space.json", "requirements.txt"
PACKAGES = ("torch", "transformers", "numpy", "soundfile", "soxr")  # gradio comes with the Space
LIMITS = "## Intended use and limits\n"
UNKNOWN = "0" * 40  # a commit that is not made yet
NOTES = """
# {name}

Record or upload a recording, and see which variety it is in, in all and window by window. The recording is deleted as
soon as the answer is given.

The model is [{model}](https://huggingface.co/{model}) at commit `{revision}`. Where it is private, this Space needs a
secret HF_TOKEN (in its settings) with a token that may read the model, and nothing else.
"""


def page_settings(labels: Sequence[str], title: str) -> dict:
    """What the page says of a model: its title, the names of its varieties, and the limits that its card states."""
    known = varieties_of(labels)
    card, people = (files(TEMPLATES).joinpath(name).read_text("utf-8") for name in ("classifier.md", "people.md"))
    limits = card.split(LIMITS)[1].split("\n## ")[0].replace("$people", people)
    limits = limits.replace("like those above", "like those it was scored on")  # which the card lists
    varieties = {label: f"{known[label].name} ({label})" if label in known else label for label in labels}
    return {"title": title, "varieties": varieties, "limits": limits.strip()}


def push_space(
    run_dir: str | Path,
    repo_id: str,
    revision: str | None = None,
    *,
    public: bool = False,
    license: str | None = None,
    token: str | None = None,
    dry_run: bool = False,
    endpoint: str | None = None,
) -> Pushed:
    """Make or update the Space `repo_id`, on whose page the model `repo_id` classifies recordings.

    It holds the page's code, what it needs in the versions that are installed here, and a description, sent in one
    commit. No token is sent: a Space of a private model gets one as its secret, by hand.

    Args:
        run_dir: run folder of the classifier that was pushed.
        repo_id: "owner/name" of the model and of the Space, which are different repositories.
        revision: commit of the model; None for its newest.
        public, license, token, dry_run, endpoint: see `push`.

    Raises:
        MissingExtra: gradio, with which the page is made, is not installed.
        CheckpointError: no finished run of a classifier.
        DialectError: as `push`; or the Space holds another app.
    """
    check_target(repo_id, license)
    run_dir, token = Path(run_dir), token or get_token()
    source = read_source(run_dir)
    if source.kind != CLASSIFIER:
        raise CheckpointError(f"{run_dir} holds {source.architecture}: a Space is made for classifiers")
    require("gradio", "space")
    if not dry_run:
        token = token_to_write(repo_id, token)
        api = HfApi(endpoint=endpoint, token=token)
        revision = revision or patiently(lambda: api.model_info(repo_id), repo_id).sha
    with TemporaryDirectory(prefix="hf-dialects-space-") as place:
        folder = Path(place)
        write_space(folder, source.results["labels"], repo_id, revision or UNKNOWN, license)
        refuse_private(folder, [token] if token else [], places_of(run_dir))
        found = listing(folder)
        if dry_run:
            return Pushed(repo_id, found, [])
        url = send(folder, repo_id, public, token, endpoint, repo_type="space", check=_check)
    return Pushed(repo_id, found, [], url)


def write_space(folder: Path, labels: Sequence[str], model: str, revision: str, license: str) -> None:
    """Write the files of a Space into an empty folder."""
    name = model.split("/")[-1]
    settings = {"model": model, "revision": revision, **page_settings(labels, name)}
    header = SpaceCardData(
        title=name,
        sdk=SPACE_SDK,
        sdk_version=version(SPACE_SDK),
        python_version=f"{sys.version_info.major}.{sys.version_info.minor}",
        app_file=APP,
        license=license,
        models=[model],
    )
    notes = NOTES.format(name=name, model=model, revision=revision)
    requirements = "".join(f"{package}=={version(package).split('+')[0]}\n" for package in PACKAGES)
    for path, text in (
        (APP, files("hf_dialects.space").joinpath(APP).read_text("utf-8")),
        (SETTINGS, json.dumps(settings, indent=1, ensure_ascii=False) + "\n"),
        (REQUIREMENTS, requirements),
        (CARD, f"---\n{header.to_yaml()}\n---\n{notes}"),
    ):
        (folder / path).write_text(text, "utf-8")
    write_manifest(folder)


def _check(there: set[str], manifest: Mapping) -> None:
    if APP in there and APP not in manifest.get("files", ()):
        raise DialectError("the Space holds an app that is not ours: rename that Space, or push elsewhere")
