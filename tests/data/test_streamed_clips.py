"""Streams: every recording once per epoch over all processes, bad ones passed over, epochs without end."""

from itertools import islice

import numpy as np
import pytest
import tiny
from test_screen import cell, corpus
from torch.utils.data import DataLoader

from hf_dialects.data.clips import Clips
from hf_dialects.data.streamed_clips import StreamedClips
from hf_dialects.errors import CorpusError


@pytest.fixture(scope="module")
def found():
    return corpus(**{f"clip-{i}": cell(tiny.waveform(0.2, i)) for i in range(12)})


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_recording_once_per_epoch_over_all_processes(found, world_size):
    for epoch in (0, 1):
        ids = []
        for rank in range(world_size):
            stream = StreamedClips(found.to_iterable_dataset(num_shards=4), rank, world_size, seed=1)
            ids += [item["id"] for item in stream.epoch(epoch)]
        assert sorted(ids) == sorted(found["id"])


def test_workers_share_a_process_share(found):
    stream = StreamedClips(found.to_iterable_dataset(num_shards=4), 0, 2, seed=1)
    alone = [item["id"] for item in stream.epoch(0)]
    loader = DataLoader(stream, batch_size=None, num_workers=2)
    assert sorted(item["id"] for item in islice(loader, len(alone))) == sorted(alone)


def test_epochs_follow_each_other_in_another_order(found):
    stream = StreamedClips(found.to_iterable_dataset(), seed=1)
    ids = [item["id"] for item in islice(stream, 36)]
    assert [sorted(ids[i : i + 12]) for i in (0, 12, 24)] == [sorted(found["id"])] * 3
    assert ids[:12] != ids[12:24]
    again = StreamedClips(found.to_iterable_dataset(), seed=1)
    assert [item["id"] for item in islice(again, 36)] == ids


def test_clips_are_those_of_the_corpus_on_disk(found):
    options = {"crop_s": 0.1, "training": True, "seed": 5}
    on_disk = Clips(found, **options)
    streamed = {item["id"]: item["clip"] for item in StreamedClips(found.to_iterable_dataset(), **options).epoch(3)}
    for index, id in enumerate(found["id"]):
        assert np.array_equal(on_disk[(3, index)]["clip"], streamed[id])


def test_bad_recordings_are_passed_over_and_counted():
    mixed = corpus(
        good=cell(tiny.waveform(0.2)), bad={"bytes": b"nothing", "path": None}, gone={"bytes": None, "path": "no.wav"}
    )
    stream = StreamedClips(mixed.to_iterable_dataset())
    assert [item["id"] for item in stream.epoch(0)] == ["good"]
    assert stream.skipped == {"corrupt": 1, "missing": 1}


def test_more_processes_than_recordings_is_an_error(found):
    stream = StreamedClips(found.select([0]).to_iterable_dataset(), rank=1, world_size=2)
    with pytest.raises(CorpusError, match="process 1 of 2 holds no usable recording"):
        next(iter(stream))
