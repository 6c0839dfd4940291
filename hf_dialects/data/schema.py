"""The columns of a corpus."""

from collections.abc import Iterable, Mapping, Sequence

from hf_dialects.data.audio import SAMPLING_RATE
from hf_dialects.data.check import CorpusCheck, Problem, check_corpus
from hf_dialects.data.leakage import GROUPS

__all__ = ["COLUMNS", "GROUPING", "CorpusCheck", "Problem", "check_corpus", "dataset_of", "features"]

GROUPING = GROUPS  # what must not cross a split
COLUMNS = {  # name: meaning
    "audio": "the recording: {'bytes', 'path'}",
    "dialect": "the variety to identify: region, dialect, accent or language",
    "cluster": "group of related dialects",
    "speaker": "who speaks",
    "site": "where it was recorded",
    "recording": "the recording it was cut from",
    "session": "the session it was recorded in",
    "sentence_id": "the same id means the same content",
    "text": "what is said",
    "latitude": "of the site, in degrees",
    "longitude": "of the site, in degrees",
    "duration": "in seconds",
    "id": "unique and stable",
}
NUMBERS = ("latitude", "longitude", "duration")


def features(labels: Sequence[str], clusters: Sequence[str] | None = None, extra: Mapping | None = None):
    """`datasets.Features` of a corpus: all columns of the schema in order, then the extra ones.

    Args:
        labels: names of the dialects in label order.
        clusters: names of the clusters in order; None leaves the column out.
        extra: name → `datasets` feature.

    Returns:
        `audio` is `Audio(16000, decode=False)`, `dialect` and `cluster` are `ClassLabel`, `latitude`, `longitude` and
        `duration` float32, the others strings.
    """
    from datasets import Audio, ClassLabel, Features, Value

    columns = {name: Value("float32" if name in NUMBERS else "string") for name in COLUMNS}
    columns["audio"] = Audio(sampling_rate=SAMPLING_RATE, decode=False)
    columns["dialect"] = ClassLabel(names=list(labels))
    columns["cluster"] = ClassLabel(names=list(clusters or ()))
    if clusters is None:
        del columns["cluster"]
    return Features(columns | dict(extra or {}))


def dataset_of(rows: Iterable[Mapping], features):
    """`datasets.Dataset` of rows, the way that needs no torchcodec (`Dataset.from_list` with an audio column does).

    Args:
        rows: name → value; `audio` as {"bytes", "path"}, class labels as names; absent = null.
        features: the columns.
    """
    import pyarrow as pa
    from datasets import ClassLabel, Dataset

    rows = list(rows)
    columns = {}
    for name, feature in features.items():
        values = [row.get(name) for row in rows]
        if isinstance(feature, ClassLabel):
            values = [None if value is None else feature.str2int(value) for value in values]
        columns[name] = values
    return Dataset(pa.table(columns, schema=features.arrow_schema))
