"""The card of a dataset: what it holds, where it comes from, what its splits share and whom it shows."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from string import Template

from hf_dialects.data.schema import COLUMNS
from hf_dialects.hub.card_tables import cell, number, table, varieties_table
from hf_dialects.hub.dataset_facts import Facts
from hf_dialects.hub.varieties import languages_of

TEMPLATES = "hf_dialects.model_cards"
TASK = "audio-classification"
KINDS = {"ClassLabel": "class label", "Audio": "audio"}
TAGS = ("speech", "dialect-identification", "hf-dialects")
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


@dataclass(frozen=True)
class Shared:
    """What goes up.

    Attributes:
        splits: name → `datasets.Dataset` without audio, as others see it.
        features: `datasets.Features` of the rows with audio.
        sizes: split → bytes of its rows.
        files_bytes: of all shards.
        records: split certificate, from `split_folder.write_records`.
        replaced: columns that hold pseudonyms.
        rounded: columns of rounded coordinates.
        refused: licence → recordings that it does not let go up.
        options: with which the corpus was prepared.
    """

    splits: Mapping
    features: object
    sizes: Mapping[str, int]
    files_bytes: int
    records: Mapping
    replaced: Sequence[str] = ()
    rounded: Sequence[str] = ()
    refused: Mapping[str, int] = field(default_factory=dict)
    options: Sequence[str] = ()


def write_card(shared: Shared, facts: Facts, repo_id: str, license: str) -> str:
    """README.md of a dataset repository: the header that the Hub and `datasets` read, and the text."""
    labels = shared.features["dialect"].names
    fields = {
        "name": repo_id.split("/")[-1],
        "title": facts.title,
        "repo_id": repo_id,
        "split": next(iter(shared.splits)),
        "facts": facts.text,
        "options": f"Prepared with {cell(', '.join(shared.options))}." if shared.options else "",
        "columns": table(["column", "type", "meaning"], _columns(shared)),
        "counts": table(["dialect", "split", "recordings", "hours", "speakers"], _counts(shared, labels)),
        "varieties": varieties_table(labels),
        "certificate": _certificate(shared),
        "privacy": _privacy(shared),
        "people": files(TEMPLATES).joinpath("people.md").read_text("utf-8"),
        "licence": _licence(shared, facts, license),
        "citation": facts.citation,
    }
    template = Template(files(TEMPLATES).joinpath("dataset.md").read_text("utf-8"))
    text = re.sub(r"\n{3,}", "\n\n", template.substitute({name: str(value).strip() for name, value in fields.items()}))
    return f"---\n{_header(shared, facts, license)}\n---\n\n{text}"


def _header(shared: Shared, facts: Facts, license: str) -> str:
    from datasets import DatasetInfo, SplitDict, SplitInfo
    from datasets.info import DatasetInfosDict
    from datasets.utils.metadata import MetadataConfigs
    from huggingface_hub import DatasetCardData

    n = sum(len(split) for split in shared.splits.values())
    data = DatasetCardData(
        license=license,
        language=_languages(shared, facts) or None,
        pretty_name=facts.title,
        task_categories=[TASK],
        size_categories=[SIZE_NAMES[sum(n >= size for size in SIZES)]],
        tags=list(TAGS),
    )
    counted = {name: SplitInfo(name, shared.sizes[name], len(split)) for name, split in shared.splits.items()}
    info = DatasetInfo(
        features=shared.features,
        splits=SplitDict(counted),
        download_size=shared.files_bytes,
        dataset_size=sum(shared.sizes.values()),
    )
    DatasetInfosDict({"default": info}).to_dataset_card_data(data)
    patterns = [{"split": name, "path": f"data/{name}-*"} for name in shared.splits]
    MetadataConfigs({"default": {"data_files": patterns}}).to_dataset_card_data(data)
    return data.to_yaml()


def _languages(shared: Shared, facts: Facts) -> list[str]:
    """Of the script, of a column `locale`, or by the registry of varieties."""
    if facts.languages:
        return list(facts.languages)
    located = [split for split in shared.splits.values() if "locale" in split.features]
    locales = {str(one).split("-")[0] for split in located for one in split["locale"]}
    if locales:
        return sorted(one for one in locales if re.fullmatch("[a-z]{2,3}", one))
    return languages_of(shared.features["dialect"].names)


def _columns(shared: Shared) -> list[list[str]]:
    rows = []
    for name, feature in shared.features.items():
        kind = {"ClassLabel": "class label", "Audio": "audio"}.get(
            type(feature).__name__, getattr(feature, "dtype", "")
        )
        rows.append([name, kind, COLUMNS.get(name, "of this corpus")])
    return rows


def _counts(shared: Shared, labels: Sequence[str]) -> list[list]:
    """Recordings, hours and speakers of each dialect and split, then of all."""
    import pandas as pd

    frames = []
    for name, split in shared.splits.items():
        found = {column: split[column][:] for column in ("dialect", "duration", "speaker") if column in split.features}
        frames.append(pd.DataFrame(found).reindex(columns=["dialect", "duration", "speaker"]).assign(split=name))
    frame = pd.concat(frames)
    groups = [(labels[code], name, one) for (code, name), one in frame.groupby(["dialect", "split"], sort=False)]
    groups = sorted(groups, key=lambda group: labels.index(group[0]))
    return [
        [dialect, split, len(group), number(_hours(group), 2), group["speaker"].nunique() or "not known"]
        for dialect, split, group in [*groups, ("all", " ", frame)]
    ]


def _hours(group) -> float | None:
    return None if group["duration"].isna().all() else group["duration"].sum() / 3600


def _certificate(shared: Shared) -> str:
    """What no split shares with another, what they share, and how to tell that these are the splits."""
    fold = shared.records["folds"][0]
    rows = [[name, counts["n"], counts["hours"], f"`{counts['sha256']}`"] for name, counts in fold["splits"].items()]
    hashes = "SHA-256 of the sorted ids of each split (`split_fingerprint`):\n\n"
    hashes += table(["split", "recordings", "hours", "SHA-256 of the ids"], rows)
    if len(rows) == 1:
        return f"The corpus is not split: split it by speaker or site with `hf-dialects split`. {hashes}"
    known = {name: found for name, found in fold["leakage"].items() if found["values"]}
    apart = [name for name, found in known.items() if not found["crossing"] and not found["unknown"]]
    crossing = [name for name, found in known.items() if found["crossing"]]
    rows = [[name, one["values"], one["crossing"], one["examples"], one["unknown"]] for name, one in known.items()]
    told = [
        f"No value of {', '.join(f'`{name}`' for name in apart)} stands in two splits." if apart else "",
        f"Values of {', '.join(f'`{name}`' for name in crossing)} do." if crossing else "",
        f"Nothing is known of {', '.join(name for name in fold['leakage'] if name not in known)}."
        if len(known) < len(fold["leakage"])
        else "",
    ]
    shared_table = table(["column", "values", "in more than one split", "recordings of these", "unknown"], rows)
    return f"{' '.join(filter(None, told))}\n\n{shared_table}\n\n{hashes}"


def _privacy(shared: Shared) -> str:
    told = []
    if shared.replaced:
        names = ", ".join(f"`{name}`" for name in shared.replaced)
        told.append(
            f"- {names}: pseudonyms, keyed hashes (HMAC-SHA256). The same value has the same pseudonym, so that groups "
            "and splits are those of the source; the key is not published."
        )
    else:
        told.append("- Ids of speakers and recordings are those of the source.")
    if shared.rounded:
        told.append(f"- {', '.join(f'`{name}`' for name in shared.rounded)}: rounded to a tenth of a degree.")
    if any("site" in split.features for split in shared.splits.values()):
        told.append("- `site` is the place as the source names it.")
    told.append("- A voice is personal: do not try to find out who speaks.")
    return "\n".join(told)


def _licence(shared: Shared, facts: Facts, license: str) -> str:
    told = [f"`{license}`. The source: {facts.licence}."]
    if facts.reason:
        told.append(f"Terms: {facts.reason}.")
    if shared.refused:
        left_out = ", ".join(f"{cell(name)} ({n:,})" for name, n in shared.refused.items())
        told.append(f"Recordings that their licence keeps from being shared are left out: {left_out}.")
    return "\n\n".join(told)
