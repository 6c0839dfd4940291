"""A prepared corpus as a dataset repository on the Hub: pseudonymised, searched, sent in one commit."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hf_dialects.data.split_folder import write_records
from hf_dialects.data.splits import SPLITS
from hf_dialects.errors import CorpusError
from hf_dialects.hub.card import CARD
from hf_dialects.hub.contents import listing, places_of, refuse_private
from hf_dialects.hub.dataset_card import Shared, write_card
from hf_dialects.hub.dataset_columns import Columns, parquet_files, read_columns
from hf_dialects.hub.dataset_facts import Facts, licence_to_share
from hf_dialects.hub.dataset_key import FILE, read_key
from hf_dialects.hub.dataset_licence import COLUMN, shared_rows
from hf_dialects.hub.dataset_pseudonyms import SHORT, Pseudonyms, holds, personal_columns
from hf_dialects.hub.dataset_shards import Recordings, refuse_foreign, write_shards
from hf_dialects.hub.push import Pushed, check_target
from hf_dialects.hub.transfer import send, token_to_write, write_manifest

MAPPING = "pseudonyms.csv"
BUILDING = "hub.part"  # in the corpus' folder: what goes up, removed at the end
SPLIT = "split"  # folder of the certificate
MARK = "pseudonyms"  # in the manifest: the mark of their key; None where ids are those of the source


@dataclass(frozen=True)
class Part:
    """A split as it lies here: its files, all of its rows, and which of them (N,) bool may go up."""

    files: Sequence[Path]
    columns: Columns
    kept: np.ndarray


def push_dataset(
    folder: str | Path,
    repo_id: str,
    facts: Facts,
    *,
    public: bool = False,
    license: str | None = None,
    accept_terms: bool = False,
    keep_ids: bool = False,
    id_key: str | Path | None = None,
    exact_places: bool = False,
    options: Sequence[str] = (),
    token: str | None = None,
    endpoint: str | None = None,
    report: Callable[[str], None] = print,
) -> Pushed:
    """Share a prepared corpus: Parquet with the audio inside, a card, and a certificate of its splits.

    Everything is sent in one commit, so a push that was cut off leaves the repository as it was; run again, it sends no
    shard twice. Until then what goes up lies in a folder within `folder`, and needs as much space as the corpus.

    Args:
        folder: that `hf-dialects prepare` wrote, or `hf-dialects split --embed` from it, with its splits.
        repo_id: "owner/name"; created where it does not exist.
        facts: of the corpus, from `facts_of(script)` or your own.
        public: whether everybody may see it.
        license: as the Hub names it; None takes the corpus' own.
        accept_terms: the terms in `facts.reason` are read and met.
        keep_ids: publish ids of speakers, sessions and recordings as they are. Else they become pseudonyms, see
            `dataset_pseudonyms.personal_columns`; who shares one stays the same.
        id_key: file with the key of the pseudonyms, made where it is not there. Default: id.key in `folder`; a key in
            the environment variable HF_DIALECTS_ID_KEY comes first.
        exact_places: publish coordinates as they are, not to a tenth of a degree.
        options: with which the corpus was prepared, for the card.
        token: None takes HF_TOKEN, or that of `hf auth login`.
        endpoint: address of the Hub; None takes HF_ENDPOINT or huggingface.co.
        report: called with sentences for people.

    Raises:
        CorpusError: the corpus may not be shared, or its folder is not one; a recording is not inside, or names its
            speaker in a tag; a split is named after a speaker, or coordinates cannot be rounded.
        DialectError: no license, no such owner, no token; a token or a path of this machine in what would go up; a
            repository that is seen by others than asked for, or the Hub cannot be reached.
    """
    license, token = check_push(facts, repo_id, license, accept_terms, token)
    folder = Path(folder)
    parts, refused = _read(folder, facts)
    if refused:
        report(f"{refused.total():,} recordings stay here, their licence keeps them: {', '.join(refused)}")
    seen = {name: part.columns.kept(part.kept) for name, part in parts.items()}
    replaced, secrets, mark = [], [token], None
    if not keep_ids:
        pseudonyms = Pseudonyms(read_key(Path(id_key) if id_key else folder / FILE, report))
        secrets.append(pseudonyms.key.hex())
        mark = pseudonyms.mark
        replaced = _personal(seen, report)
        _refuse_named_splits(parts)
        seen = {name: columns.pseudonymised(replaced, pseudonyms) for name, columns in seen.items()}
        pseudonyms.write(folder / MAPPING)
        report(f"pseudonyms in {', '.join(replaced)}; {folder / MAPPING} says whose, and stays here")
    rounded = []
    if not exact_places:
        rounded = [name for name in next(iter(seen.values())).coordinates() if _any(seen, name)]
        seen = {name: columns.rounded() for name, columns in seen.items()}
    places = places_of(folder)
    _search(seen, secrets, places)
    with _building(folder) as building, TemporaryDirectory(prefix="hf-dialects-push-") as place:
        (building / "data").mkdir()
        sizes, tagged = {}, Counter()
        private = [*secrets, *(str(one) for one in places if len(one.parts) > 1)]
        for name, part in parts.items():
            recordings = Recordings(part.files, part.kept, _hidden(part.columns, replaced), private)
            sizes[name], found = write_shards(recordings, seen[name], name, building / "data")
            tagged += found
        for name, n in tagged.items():
            report(f"warning: {n:,} recordings have a tag {name}, which goes up with them: see that it names nobody")
        texts = Path(place)
        splits = {name: columns.dataset() for name, columns in seen.items()}
        shared = Shared(
            splits=splits,
            features=next(iter(seen.values())).features,
            sizes=sizes,
            files_bytes=sum(size for _, size in listing(building)),
            records=_records(splits, folder, texts / SPLIT),
            replaced=replaced,
            rounded=rounded,
            refused=_nameless(refused, parts),
            options=options,
        )
        (texts / CARD).write_text(write_card(shared, facts, repo_id, license), "utf-8")
        refuse_private(texts, secrets, places)
        shutil.copytree(texts, building, dirs_exist_ok=True)
        write_manifest(building, **{MARK: mark})
        files = listing(building)

        def check(found: set[str], manifest: Mapping) -> None:
            refuse_foreign(found, {*manifest.get("files", ()), *dict(files)}, repo_id)
            if (earlier := manifest.get(MARK, mark)) != mark:
                report(_changed_ids(earlier, mark))

        url = send(building, repo_id, public, token, endpoint, repo_type="dataset", check=check)
    return Pushed(repo_id, files, [] if keep_ids else [FILE, MAPPING], url)


def check_push(
    facts: Facts, repo_id: str, license: str | None = None, accept_terms: bool = False, token: str | None = None
) -> tuple[str, str]:
    """Refuse a push that cannot succeed before anything is read or sent.

    Returns:
        licence, as the Hub names it, and token.

    Raises:
        CorpusError: the corpus may not be shared, or not so.
        DialectError: no repository of somebody, or no token.
    """
    license = licence_to_share(facts, license, accept_terms)
    check_target(repo_id, license)
    return license, token_to_write(repo_id, token)


def _read(folder: Path, facts: Facts) -> tuple[dict[str, Part], Counter]:
    """Splits with rows that may go up, and how many of all may not, by licence."""
    parts, refused = {}, Counter()
    for name, files in parquet_files(folder).items():
        columns = read_columns(files)
        kept, lost = shared_rows(columns.values(COLUMN), columns.table.num_rows, facts)
        refused += lost
        if kept.any():
            parts[name] = Part(files, columns, kept)
    if not parts:
        raise CorpusError(
            f"no recording of {folder} may be shared ({', '.join(f'{one}: {n}' for one, n in refused.items())}): "
            f"{facts.reason or 'their licences say so'}"
        )
    features = {name: part.columns.features for name, part in parts.items()}
    first, known = next(iter(features.items()))
    for name, others in features.items():
        if differing := [one for one in {**known, **others} if known.get(one) != others.get(one)]:
            raise CorpusError(f"splits {first} and {name} differ in column {differing[0]}: prepare them together")
    if not hasattr(known["dialect"], "names"):
        raise CorpusError(f"the dialects of {folder} are no class labels: give a folder that hf-dialects prepare wrote")
    return parts, refused


def _hidden(columns: Columns, replaced: Sequence[str]) -> list[set[str]]:
    """Of every row what its pseudonyms stand for, and the last part of what is a path."""
    values = [columns.values(name) for name in replaced]
    texts = [[str(one[row]) for one in values if one[row] is not None] for row in range(columns.table.num_rows)]
    return [{name for text in row for name in (text, text.rsplit("/", 1)[-1])} for row in texts]


def _speakers(parts: Mapping[str, Part]) -> set[str]:
    found = {str(one) for part in parts.values() for one in part.columns.values("speaker") or () if one is not None}
    return {one for one in found if len(one) >= SHORT}


def _refuse_named_splits(parts: Mapping[str, Part]) -> None:
    for name in parts.keys() - set(SPLITS):
        if any(holds(name, one) for one in _speakers(parts)):
            raise CorpusError(
                f"the split {name} is named after a speaker, as its files and the card would be: rename "
                f"{parts[name].files[0].name}, or share with --keep-ids"
            )


def _nameless(licences: Mapping[str, int], parts: Mapping[str, Part]) -> Counter:
    """Licences for the card, without those that name a speaker."""
    found, speakers = Counter(), _speakers(parts) if licences else ()
    for name, n in licences.items():
        found["another one" if any(holds(name, one) for one in speakers) else name] += n
    return found


def _changed_ids(earlier: str | None, mark: str | None) -> str:
    if earlier is None:
        return "warning: an earlier push published the ids of the source: they stay in the repository's history"
    now = "the ids of the source" if mark is None else "pseudonyms by another key"
    return (
        f"warning: an earlier push had pseudonyms by one key, this one has {now}: splits and results that were stored "
        "by the earlier ids no longer fit"
    )


def _personal(splits: Mapping[str, Columns], report: Callable[[str], None]) -> list[str]:
    names = next(iter(splits.values())).table.column_names
    joined = {name: [value for columns in splits.values() for value in columns.values(name)] for name in names}
    replaced, mentioned = personal_columns(joined)
    for name, rows in mentioned.items():
        report(f"warning: {name} of {rows:,} recordings holds the id of its speaker, and goes up as it is")
    return replaced


@contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """An empty folder on the corpus' disk, for as long as something goes up."""
    building = folder / BUILDING
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        yield building
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _records(splits: Mapping, folder: Path, target: Path) -> dict:
    """Write the certificate of the splits; how they were made, where `hf-dialects split` made them, stands in it."""
    made = folder / "split.json"
    options = json.loads(made.read_text("utf-8")) if made.is_file() else {}
    options.pop("folds", None)
    target.mkdir()
    return write_records([splits], target, {"by": (), **options})


def _any(splits: Mapping[str, Columns], name: str) -> bool:
    return any(value is not None for columns in splits.values() for value in columns.values(name) or ())


def _search(splits: Mapping[str, Columns], secrets: Sequence[str], places: Sequence[Path]) -> None:
    """Search columns for tokens and paths of this machine: a column is a file for this, a value a line."""
    with TemporaryDirectory(prefix="hf-dialects-columns-") as place:
        for split, columns in splits.items():
            for name in columns.table.column_names:
                values = (str(value).replace("\n", " ") for value in columns.values(name))
                Path(place, f"{name} of {split}".replace("/", " ")).write_text(
                    "\n".join(values), "utf-8", "surrogatepass"
                )
        refuse_private(Path(place), secrets, places)
