"""500 damaged recordings, the same ones for the same seed: what disks, downloads and careless exports leave behind."""

import io
import json
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import soundfile

FORMATS = {  # name: (container, subtype, suffix)
    "wav 16 bit": ("WAV", "PCM_16", ".wav"),
    "wav 24 bit": ("WAV", "PCM_24", ".wav"),
    "wav float": ("WAV", "FLOAT", ".wav"),
    "flac": ("FLAC", "PCM_16", ".flac"),
    "vorbis": ("OGG", "VORBIS", ".ogg"),
    "opus": ("OGG", "OPUS", ".opus"),
    "mp3": ("MP3", "MPEG_LAYER_III", ".mp3"),
}
RATES = (8000, 16000, 44100, 48000)  # Hz; Opus has no 44,100
SECONDS = 0.6
REFUSED, DECODED, EITHER = "refused", "decoded", "either"
# what flipped bytes of the samples must lead to: integers have no wrong values, the others but MP3 have checksums
FLIPPED = {
    "wav 16 bit": DECODED,
    "wav 24 bit": DECODED,
    "wav float": EITHER,  # some become NaN or huge
    "flac": REFUSED,
    "vorbis": REFUSED,
    "opus": REFUSED,
    "mp3": EITHER,
}


@dataclass(frozen=True)
class Damaged:
    """A damaged recording.

    Attributes:
        kind: of the damage.
        name: end of the name of its file.
        content: bytes, or what makes something else than a file at a path.
        expected: "refused", "decoded", or "either" where nothing in the format can tell.
        intact: bytes of what it was; where it is decoded, it must be as long, but for what may be padding.
        same: where it is decoded, its samples must be those of `intact`, too.
        silent: it can be decoded, but is of no use to a long job.
    """

    kind: str
    name: str
    content: bytes | Callable[[Path], None]
    expected: str
    intact: bytes | None = None
    same: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Clip:
    """An intact recording."""

    format: str
    rate: int
    channels: int
    data: bytes

    @property
    def suffix(self) -> str:
        return FORMATS[self.format][2]

    @property
    def name(self) -> str:
        return f"{self.format.replace(' ', '-')}-{self.rate}-{self.channels}{self.suffix}"

    @property
    def body(self) -> int:
        """First byte behind the headers."""
        if self.data.startswith(b"RIFF"):
            return self.data.index(b"data") + 8
        return self.data.index(b"\xff\xf8", 42) if self.format == "flac" else 200


def damaged(seed: int = 0) -> list[Damaged]:
    """All of them, kind by kind."""
    return [
        Damaged(kind, *one)
        for number, (kind, (make, n)) in enumerate(KINDS.items())
        for one in islice(make(np.random.default_rng([seed, number])), n)
    ]


def write(inputs: list[Damaged], folder: Path) -> list[Path]:
    """One file for each, in their order."""
    paths = []
    for number, one in enumerate(inputs):
        paths.append(folder / f"{number:03d}-{one.name}")
        one.content(paths[-1]) if callable(one.content) else paths[-1].write_bytes(one.content)
    return paths


def clips(rng: np.random.Generator, formats: tuple[str, ...] = tuple(FORMATS)) -> Iterator[Clip]:
    """Clips of the formats in turn, at any rate, mono or stereo: rising tones with noise."""
    for format in cycle(formats):
        rate, channels = int(rng.choice(RATES)), int(rng.integers(1, 3))
        if format == "opus" and rate == 44100:
            rate = 24000
        yield Clip(format, rate, channels, encoded_tones(rate, channels, format))


def tones(rate: int, channels: int = 1) -> np.ndarray:
    """(S, channels) float64, no two parts or channels alike."""
    time = np.arange(round(SECONDS * rate)) / rate
    rising = [0.4 * np.sin(2 * np.pi * (200 + 100 * channel) * time * (1 + time)) for channel in range(channels)]
    return np.stack(rising, 1) + 0.02 * np.random.default_rng(rate).standard_normal((len(time), channels))


@cache
def encoded_tones(rate: int, channels: int, format: str) -> bytes:
    return encoded(tones(rate, channels), rate, format)


def encoded(samples: np.ndarray, rate: int, format: str) -> bytes:
    """A file of which the same samples give the same bytes: libsndfile writes the time of day into float WAV and draws
    the serial numbers of Ogg."""
    container, subtype, _ = FORMATS[format]
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    data = file.getvalue()
    if format == "wav float":
        return patched(data, data.index(b"PEAK") + 12, bytes(4))
    return on_every_page(data, lambda page: patched(page, 14, b"\1\0\0\0")) if container == "OGG" else data


def on_every_page(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """An Ogg file with pages changed and their checksums made to fit."""
    pages, place = [], 0
    while data.startswith(b"OggS", place):
        body = place + 27 + data[place + 26]
        end = body + sum(data[place + 27 : body])
        page = patched(change(data[place:end]), 22, bytes(4))
        pages.append(patched(page, 22, ogg_checksum(page).to_bytes(4, "little")))
        place = end
    return b"".join(pages)


def ogg_checksum(page: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7 from 0, byte by byte."""
    found = 0
    for byte in page:
        found = (found << 8 & 0xFFFFFFFF) ^ OGG_TABLE[found >> 24 ^ byte]
    return found


def shifted_out(byte: int) -> int:
    """What a byte that leaves the register at its upper end adds to it."""
    found = byte << 24
    for _ in range(8):
        found = (found << 1 ^ 0x04C11DB7) & 0xFFFFFFFF if found & 0x80000000 else found << 1
    return found


OGG_TABLE = [shifted_out(byte) for byte in range(256)]


def patched(data: bytes, place: int, new: bytes) -> bytes:
    return data[:place] + new + data[place + len(new) :]


def flipped(data: bytes, places: np.ndarray, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place] ^= int(rng.integers(1, 256))
    return bytes(changed)


def few_bytes(rng):
    for clip in clips(rng):
        places = rng.choice(np.arange(clip.body, len(clip.data)), int(rng.integers(1, 4)), replace=False)
        intact = None if clip.format == "mp3" else clip.data
        yield clip.name, flipped(clip.data, places, rng), FLIPPED[clip.format], intact


def many_bytes(rng):
    for clip in clips(rng):
        n_bytes = len(clip.data) - clip.body
        places = clip.body + rng.choice(n_bytes, n_bytes // 20, replace=False)
        intact = None if clip.format == "mp3" else clip.data
        yield clip.name, flipped(clip.data, places, rng), FLIPPED[clip.format], intact


def header_bytes(rng):
    for clip in clips(rng):
        data = flipped(clip.data, rng.choice(clip.body, int(rng.integers(1, 4)), replace=False), rng)
        if clip.format == "mp3":  # the first frame is a header, but no frame says which one it is
            yield clip.name, data, EITHER
        else:
            yield clip.name, data, REFUSED if FORMATS[clip.format][0] == "OGG" else EITHER, clip.data, True


def cut_samples(rng):
    for clip in clips(rng):
        left = 1152 if clip.format == "mp3" else 128  # bytes; less than that may be padding
        yield clip.name, clip.data[: int(rng.integers(clip.body, len(clip.data) - left))], REFUSED


def cut_header(rng):
    for clip in clips(rng):
        yield clip.name, clip.data[: int(rng.integers(1, clip.body))], REFUSED


def other_header(rng):
    """The headers of one clip before the samples of another, in another container; in a WAV any bytes are samples."""
    first, second = clips(rng), clips(rng, (*list(FORMATS)[3:], *list(FORMATS)[:3]))
    for one, other in zip(first, second, strict=True):
        yield (
            f"{one.format[:3]}-on-{other.name}",
            one.data[: one.body] + other.data[other.body :],
            EITHER if one.suffix == ".wav" else REFUSED,
        )


def other_name(rng):
    suffixes = cycle((".wav", ".raw", ".mp3", ".txt", ".flac"))
    for clip, suffix in zip(clips(rng), suffixes, strict=False):
        yield f"{clip.name}{suffix}", clip.data, DECODED, clip.data, True


def no_bytes(rng):
    for clip in clips(rng):
        yield clip.name, b"", REFUSED


def no_samples(rng):
    for clip in clips(rng):
        yield clip.name, encoded(np.zeros((0, clip.channels)), clip.rate, clip.format), REFUSED


def absurd_length(rng):
    """Headers that promise up to 256 GiB."""
    for clip in clips(rng, ("wav 16 bit", "wav float", "flac", "vorbis", "opus", "mp3")):
        n = 2 ** int(rng.integers(20, 31))
        if clip.data.startswith(b"RIFF"):
            data = patched(clip.data, clip.body - 4, struct.pack("<I", min(n, 0x7FFE0000)))
        elif clip.format == "flac":
            data = patched(clip.data, 21, bytes([clip.data[21] | 0x0F]) + struct.pack(">I", 4 * n - 1))
        elif clip.format == "mp3":
            place = max(clip.data.find(b"Xing"), clip.data.find(b"Info"))
            data = patched(clip.data, place + 8, struct.pack(">I", n))
        else:  # the place in the stream at which the last page ends
            data = on_every_page(
                clip.data, lambda page, n=n: patched(page, 6, struct.pack("<q", n**2)) if page[5] & 4 else page
            )
        if clip.format == "vorbis":  # its end only says how much of the last page counts
            yield clip.name, data, EITHER
        else:
            yield clip.name, data, REFUSED


def contradicting_rate(rng):
    """A rate in the header that the rest of the file contradicts."""
    rates = cycle((0, 1, 7, 999, 7999, 12345, 16001, 22050, 96000, 767_999, 1_000_000))
    for clip, rate in zip(clips(rng, ("wav 16 bit", "wav 24 bit", "wav float", "flac")), rates, strict=False):
        yield clip.name, with_rate(clip, rate, throughout=False), REFUSED


def absurd_rate(rng):
    """A rate that no recorder has, in every place that states one."""
    rates = cycle((0, 1, 7, 999, 768_001, 10**7, 2**31 - 1, 2**32 - 1))
    for clip, rate in zip(clips(rng, ("wav 16 bit", "wav float", "vorbis")), rates, strict=False):
        yield clip.name, with_rate(clip, rate, throughout=True), REFUSED


def odd_rate(rng):
    """Rates that are unusual, but consistent."""
    rates = cycle((1001, 7999, 11024, 12345, 15991, 44056, 47999, 88201, 191_999, 383_999, 655_351))
    for format, rate in zip(cycle(("wav 16 bit", "wav float", "wav 24 bit")), rates, strict=False):
        yield (
            f"{rate}{FORMATS[format][2]}",
            encoded(tones(rate), rate, format),
            DECODED,
            encoded_tones(16000, 1, "flac"),
        )


def with_rate(clip: Clip, rate: int, throughout: bool) -> bytes:
    if clip.format == "vorbis":
        field = struct.pack("<I", rate)
        return on_every_page(
            clip.data, lambda page: patched(page, page.index(b"\1vorbis") + 12, field) if page[5] & 2 else page
        )
    if clip.format == "flac":
        packed = int.from_bytes(clip.data[18:26], "big") % 2**44 | rate % 2**20 << 44
        return patched(clip.data, 18, packed.to_bytes(8, "big"))
    place = clip.data.index(b"fmt ") + 12
    per_second = struct.pack("<I", rate * int.from_bytes(clip.data[place + 8 : place + 10], "little") % 2**32)
    return patched(clip.data, place, struct.pack("<I", rate) + (per_second if throughout else b""))


def appended(rng):
    for clip in clips(rng):
        data = clip.data + rng.bytes(int(rng.integers(1, 4000)))
        yield (
            clip.name,
            data,
            EITHER if clip.format == "opus" else DECODED,
            clip.data,
            True,
        )  # libsndfile is strict here


def prepended(rng):
    for clip in clips(rng):  # an MP3 may begin anywhere
        data = rng.bytes(int(rng.integers(1, 400))) + clip.data
        yield clip.name, data, EITHER if clip.format == "mp3" else REFUSED


def silence(rng):
    for clip in clips(rng):
        data = encoded(np.zeros((round(SECONDS * clip.rate), clip.channels)), clip.rate, clip.format)
        yield clip.name, data, DECODED, clip.data, False, True


def not_finite(rng):
    values = cycle((np.nan, np.inf, -np.inf))
    for clip, value in zip(clips(rng, ("wav float",)), values, strict=False):
        place = clip.body + 4 * int(rng.integers((len(clip.data) - clip.body) // 4))
        yield clip.name, patched(clip.data, place, struct.pack("<f", value)), REFUSED


def huge_samples(rng):
    for clip in clips(rng, ("wav float",)):
        place = clip.body + 4 * int(rng.integers((len(clip.data) - clip.body) // 4))
        yield clip.name, patched(clip.data, place, struct.pack("<f", 10.0 ** rng.integers(12, 38))), REFUSED


def no_audio(rng):
    contents = {
        "text": b"The recording was moved.\n" * 20,
        "page": b"<!DOCTYPE html><html><title>404 Not Found</title></html>",
        "json": json.dumps({"error": "quota exceeded"}).encode(),
        "table": b"file_name,dialect\na.wav,north\n",
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
        "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + rng.bytes(500),
        "zip": b"PK\3\4\x14\0\0\0\x08\0" + rng.bytes(500),
        "pdf": b"%PDF-1.7\n" + rng.bytes(500),
        "gzip": b"\x1f\x8b\x08\0" + rng.bytes(500),
        "mp4": b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42" + rng.bytes(500),
        "zeros": bytes(4096),
        "ones": b"\xff" * 4096,
        "noise": rng.bytes(4096),
    }
    for (name, content), suffix in zip(cycle(contents.items()), cycle((".wav", ".mp3", ".flac", ".ogg")), strict=False):
        yield name + suffix, content, REFUSED


def no_file(rng):
    yield "folder.wav", Path.mkdir, REFUSED
    yield "dangling.wav", lambda path: path.symlink_to(path.with_name("gone.wav")), REFUSED
    yield "circle.wav", lambda path: path.symlink_to(path.name), REFUSED
    yield "pipe.wav", os.mkfifo, REFUSED
    yield "gone.wav", lambda path: None, REFUSED


KINDS = {  # kind: (what makes them without end, how many)
    "1 to 3 bytes of the samples flipped": (few_bytes, 70),
    "5 % of the bytes of the samples flipped": (many_bytes, 35),
    "1 to 3 bytes of the header flipped": (header_bytes, 70),
    "cut within the samples": (cut_samples, 49),
    "cut within the header": (cut_header, 30),
    "header of another format": (other_header, 28),
    "name of another format": (other_name, 28),
    "no bytes": (no_bytes, 7),
    "no samples": (no_samples, 7),
    "absurd length in the header": (absurd_length, 21),
    "rate that contradicts the rest": (contradicting_rate, 20),
    "absurd rate": (absurd_rate, 14),
    "odd rate": (odd_rate, 14),
    "bytes appended": (appended, 24),
    "bytes before the header": (prepended, 14),
    "digital silence": (silence, 14),
    "samples that are NaN or infinite": (not_finite, 14),
    "samples far beyond full scale": (huge_samples, 6),
    "no audio under an audio name": (no_audio, 30),
    "no file, or no regular one": (no_file, 5),
}
