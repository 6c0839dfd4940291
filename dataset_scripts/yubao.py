"""YuBao (语保): 50 parallel sentences at 78 sites of Chinese, from recordings that a user has collected.

Publicly documented, by arXiv:2601.07274, its repository kalvinchang/yubao and the cards of the metadata on the Hub:

- 11 sites for each of zh_dialect (Mandarin dialects), gan, hsn (Xiang), min (Southern Min), hak (Hakka), yue and wuu,
  and Luanping for Standard Mandarin (zh_standard): 3,499 read utterances, 6.9 s on average, 6 h 45 min. Some sites have
  fewer than 50 sentences. Speakers are older men.
- The recordings are not published: they are taken from zhongguoyuyan.cn, whose operators hold the copyright, as videos,
  and the sound (16 kHz WAV) from these. They may be neither passed on nor published, prepared ones no more than others.
- Layout: `{site name}/{utterance id}.wav`. An utterance id such as 04G95mb01yf0001 starts with the five characters of
  the site's id and ends with the number of the sentence, 1 to 50, the same sentence at every site.
- Metadata, as CSV, Parquet or JSON lines anywhere below the folder, told by their columns: kalbin/yubao_videos with
  utterance_id, transcript (Chinese characters only, several ways to say it one after the other), translation (into
  Mandarin), ipa, english, site, subgrouping; kalbin/yubao_sites with site_id, site, subgrouping, sentences.
- The repository lists the sites by name. Two of the names, Dongguan's (东莞) and Shaoshan's (韶山), belong to two sites
  each; its lookup by name ends at 15991 and 26D56: these are taken, the namesakes only where they are missing.

Assumed, since neither recordings nor metadata were at hand:

- `yf` before the number marks a sentence; other items of a site (characters, words) are numbered from 1 as well and are
  left out. What stands before it, such as 04G95mb01, says who speaks.
- Videos that the repository's browser script names {place}_0001 are numbered by position, which is not the sentence's
  number where one is missing: give them the utterance ids of the metadata first.

`dialect` and `cluster` are the subgroup, `site` is the site's id. A site is one speaker: nothing tells them apart.
"""

import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from hf_dialects.dataset_scripts import table

from hf_dialects.data.audio import duration_s
from hf_dialects.data.folders import AUDIO_SUFFIXES
from hf_dialects.data.manifest import SUFFIXES, read_rows
from hf_dialects.data.prepare import run_script
from hf_dialects.errors import AudioError, CorpusError

LICENSE = "other, recordings © Centre for the Protection of Language Resources of China; they cannot be redistributed"
CITATION = (
    "Chang, K., Shao, Y., Li, J. and Yu, D. (2026). Towards Comprehensive Semantic Speech Embeddings for Chinese "
    "Dialects. arXiv:2601.07274. Recordings: Centre for the Protection of Language Resources of China (2023). The "
    "Chinese Language Resources Protection Project Collection and Display Platform."
)
RECORDINGS = 3499
SHARING = "refused: the platform lets its recordings be heard and forbids passing them on"
SENTENCES = 50
HOURS = 6.75

LISTED = table("yubao_sites")
SITES = {name: tuple(row["site_id"] for row in found) for name, found in groupby(LISTED, itemgetter("subgroup"))}
# site → the site of the same name that is taken before it
NAMESAKES = {row["site_id_of_namesake"]: row["site_id"] for row in LISTED if row["site_id_of_namesake"]}
SUBGROUP_OF = {row["site_id"]: row["subgroup"] for row in LISTED}
SUBGROUP_OF |= {namesake: SUBGROUP_OF[site] for namesake, site in NAMESAKES.items()}

NAME = re.compile(r"(?P<speaker>(?P<site>[0-9A-Z]{5})\w*?)yf(?P<sentence>\d{4})")
COLUMNS = {  # ours: the metadata's, the first that is there; the published name stands first
    "utterance_id": ("utterance_id", "utt_id", "video_id"),
    "site_id": ("site_id", "site_code"),
    "text": ("transcript", "transcription", "text"),
    "translation": ("translation", "mandarin"),
    "ipa": ("ipa", "phonetic"),
    "english": ("english", "en_name"),
    "site_name": ("site", "site_name", "city"),
    "subgrouping": ("subgrouping", "subgroup"),
}
OF_UTTERANCE = ("text", "translation", "ipa", "english")
OF_SITE = ("site_name", "subgrouping")


def rows(source: Path) -> Iterator[dict]:
    """Rows of the benchmark's sites, sorted by utterance id. Differences from the published facts are warnings.

    Args:
        source: folder with the recordings and, for the texts, the metadata.

    Raises:
        CorpusError: no recordings that are named as utterances of these sites, two of one id, or tables of which none
            is the metadata.
    """
    source = Path(source)
    utterances, sites = read_metadata(source)
    found = [
        {
            "id": name,
            "audio": {"bytes": None, "path": str(path)},
            "dialect": SUBGROUP_OF[match["site"]],
            "cluster": SUBGROUP_OF[match["site"]],
            "speaker": match["speaker"],
            "site": match["site"],
            "sentence_id": str(int(match["sentence"])),
            **{column: utterances.get(name, {}).get(column) for column in OF_UTTERANCE},
            **{column: (utterances.get(name) or sites.get(match["site"], {})).get(column) for column in OF_SITE},
        }
        for name, (path, match) in sorted(_recordings(source).items())
    ]
    for difference in (*differences(found), *_gaps(found, utterances)):
        warnings.warn(difference, stacklevel=2)
    yield from found


def differences(found: Sequence[Mapping]) -> list[str]:
    """What of these rows differs from the published facts, one sentence each with both numbers.

    The number of utterances is compared where the corpus is prepared.
    """
    there = {row["site"] for row in found}
    told = []
    for subgroup, sites in SITES.items():
        present = {NAMESAKES.get(site, site) for site in there if SUBGROUP_OF[site] == subgroup}
        if missing := [site for site in sites if site not in present]:
            told.append(f"{subgroup} has {len(present)} sites here, {len(sites)} published; missing: {_few(missing)}")
    if len(there) != len(SUBGROUP_OF) - len(NAMESAKES):
        told.append(f"{len(there)} sites are here, {len(SUBGROUP_OF) - len(NAMESAKES)} published")
    sentences = {row["sentence_id"] for row in found}
    if len(sentences) != SENTENCES:
        told.append(f"{len(sentences)} sentences are here, {SENTENCES} published")
    hours = sum(map(_seconds, found)) / 3600
    if abs(hours - HOURS) > 0.01 * HOURS:
        told.append(f"recordings last {hours:.2f} h here, {HOURS} h published")
    return told


def read_metadata(source: Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """Utterance id → what the metadata says of it, and site id → what it says of that; columns as in `COLUMNS`.

    Where two tables describe one of them, the first by name counts.

    Raises:
        CorpusError: there are tables, and none of them is the metadata, or one of them cannot be read.
    """
    tables: dict[str, dict[str, dict]] = {"utterance_id": {}, "site_id": {}}
    others = []
    for path in _visible(source, (*SUFFIXES, ".parquet")):
        given = _parquet(path) if path.suffix == ".parquet" else read_rows(path)
        names = {ours: next((name for name in theirs if name in given[0]), None) for ours, theirs in COLUMNS.items()}
        key = next((key for key in tables if names[key]), None)
        if key is None:
            others.append(f"{path} (columns {', '.join(map(str, given[0]))})")
            continue
        for row in given:
            about = {ours: _text(row[name]) for ours, name in names.items() if name}
            tables[key].setdefault(str(row[names[key]]).strip(), about)
    if others and not any(tables.values()):
        raise CorpusError(
            f"none of the tables of {source} is the metadata: {'; '.join(others)}. yubao_videos has a column "
            f"utterance_id, yubao_sites a column site_id; rename theirs, or add the names to COLUMNS of {__file__}"
        )
    if not tables["utterance_id"]:
        warnings.warn(f"{source} holds no table with utterance_id (yubao_videos): there are no texts", stacklevel=3)
    return tables["utterance_id"], tables["site_id"]


def _recordings(source: Path) -> dict[str, tuple[Path, re.Match]]:
    """Utterance id → its recording and the parts of its id, of the benchmark's sites; the others are told."""
    found: dict[str, tuple[Path, re.Match]] = {}
    strange = []
    for path in _visible(source, AUDIO_SUFFIXES):
        match = NAME.fullmatch(path.stem)
        if match is None or not 1 <= int(match["sentence"]) <= SENTENCES:
            strange.append(path.name)
        elif path.stem in found:
            raise CorpusError(f"{found[path.stem][0]} and {path} have one utterance id; remove one of them")
        else:
            found[path.stem] = path, match
    there = {match["site"] for _, match in found.values()}
    taken = {site for site in there & set(SUBGROUP_OF) if NAMESAKES.get(site) not in there}
    if not taken:
        videos = len(_visible(source, (".mp4",)))
        hint = f". Extract the sound of the {videos} videos that are there as 16 kHz WAV" if videos else ""
        raise CorpusError(
            f"{source} holds no recordings of the benchmark's sites, named as 11127mb01yf0001.wav is; found are "
            f"{_few(sorted(there)) or 'no'} sites and {_few(strange) or 'no'} other recordings{hint}"
        )
    if strange:
        warnings.warn(f"{len(strange)} recordings left out, not named as sentences: {_few(strange)}", stacklevel=3)
    if there != taken:
        warnings.warn(f"sites left out, not of the benchmark: {_few(sorted(there - taken))}", stacklevel=3)
    return {name: (path, match) for name, (path, match) in found.items() if match["site"] in taken}


def _gaps(found: Sequence[Mapping], utterances: Mapping[str, Mapping]) -> list[str]:
    """Recordings without metadata, and utterances of these sites in the metadata without a recording."""
    ids, sites = {row["id"] for row in found}, {row["site"] for row in found}
    listed = {name for name in utterances if name[:5] in sites and NAME.fullmatch(name)}
    told = []
    if utterances and ids - listed:
        told.append(f"the metadata says nothing of {len(ids - listed)} recordings: {_few(sorted(ids - listed))}")
    if listed - ids:
        told.append(
            f"{len(listed - ids)} utterances of these sites in the metadata have no recording: "
            f"{_few(sorted(listed - ids))}"
        )
    return told


def _visible(source: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files with one of these suffixes, sorted, without hidden ones and those in hidden folders."""
    files = (path for path in source.rglob("*") if path.suffix.lower() in suffixes)
    return sorted(path for path in files if not any(part[0] == "." for part in path.relative_to(source).parts))


def _parquet(path: Path) -> list[dict]:
    import pandas as pd

    try:
        found = pd.read_parquet(path).to_dict("records")
    except (OSError, ValueError) as error:  # pyarrow's errors are among these
        raise CorpusError(f"{path} cannot be read as Parquet ({error}); fetch it again") from error
    if not found:
        raise CorpusError(f"{path} holds no rows; fetch it again, or remove it")
    return found


def _seconds(row: Mapping) -> float:
    """How long a recording lasts; 0 where it cannot be read, which is told where the corpus is written."""
    try:
        return duration_s(row["audio"])
    except AudioError:
        return 0.0


def _text(value) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def main() -> None:
    """Write the corpus in the schema."""
    run_script(sys.modules[__name__])


if __name__ == "__main__":
    main()
