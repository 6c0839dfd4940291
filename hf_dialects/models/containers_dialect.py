"""Damage that a container shows by its own account, but that libsndfile decodes without complaint.

Needs nothing but the standard library: models/containers_dialect.py is a copy that travels with checkpoints.
"""

import re
import zlib
from collections.abc import Iterator
from functools import reduce
from itertools import pairwise
from struct import unpack
from typing import BinaryIO

__all__ = ["UNKNOWN_LENGTH", "header_damage", "stream_damage"]

UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's frame count for streams that state none (FLAC written to a pipe)
PLACEHOLDER = 0x7FFF0000  # sizes from here on are what programs write that cannot go back to the header
SLACK = 64  # bytes; some writers count padding
TAIL = 65536  # bytes at the end of a file that hold its last page or frame; an Ogg page has 65,307 at most

# libsndfile shortens the chunk to what is there and says so in its log only
SHORTENED = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
LINEAR, COMPANDED = (1, 3), (6, 7)  # format tags of WAV: integers and floats; A-law and μ-law
FLAC_RATES = (0, 88200, 176400, 192000, 8000, 16000, 22050, 24000, 32000, 44100, 48000, 96000)  # Hz, by their code
CRC8 = bytes(reduce(lambda crc, _: crc << 1 ^ (0x107 if crc & 0x80 else 0), range(8), byte) for byte in range(256))
REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def header_damage(sound, file: BinaryIO) -> str | None:
    """What is wrong with an opened recording as far as its headers and its end show: "breaks off: …", or None.

    Args:
        sound: `soundfile.SoundFile`, opened on `file`.
        file: its position is kept, since `sound` reads from there.
    """
    if sound.format in ("WAV", "WAVEX", "AIFF", "AU"):
        found = SHORTENED.search(sound.extra_info)
        stated, held = map(int, found.groups()) if found else (0, 0)
        if held + SLACK < stated < PLACEHOLDER:
            why = f"its header states {stated} bytes of samples, {held} are there"
            return f"breaks off: {why}; fetch it again or leave it out"
    if sound.format == "OGG" and not _last_page_is_whole(file):
        why = "its last Ogg page is incomplete or is not marked as the end of the stream"
        return f"breaks off: {why}; fetch it again or leave it out"
    wrong = {"WAV": _wav_contradiction, "WAVEX": _wav_contradiction, "FLAC": _flac_contradiction}.get(sound.format)
    if wrong and (why := wrong(file)):
        return f"is corrupt: {why}; fetch it again or leave it out"
    return None


def stream_damage(sound, file: BinaryIO) -> str | None:
    """What is wrong with a recording that was read to its stated end, or None.

    MP3 without a Xing or VBRI header states no length; libmpg123 then estimates it from the first frame, far too low
    for some files of variable bit rate, and reads no further. Damaged pages of Ogg are left out by libogg.
    """
    if sound.format == "MP3":
        left, size = _size(file) - file.tell(), _size(file)
        if left > 8192 + size // 10:  # tags at the end are small; covers stand at the start
            why = f"its length is not stated and was estimated wrongly: {left} of {size} bytes are left over"
            return f"cannot be read to its end: {why}; convert it to FLAC or leave it out"
    if sound.format == "OGG" and (place := _damaged_page(file)) is not None:
        return f"is corrupt: its Ogg page at byte {place} does not match its checksum; fetch it again or leave it out"
    return None


def _wav_contradiction(file: BinaryIO) -> str | None:
    """Why format and chunks of a RIFF file do not fit each other, or None."""
    chunks = list(_chunks(file))
    place, length = next(((place, length) for name, place, length in chunks if name == b"fmt "), (0, 0))
    if length >= 16:
        tag, channels, rate, per_second, block, bits = unpack("<HHIIHH", _read(file, place, 16))
        if tag == 0xFFFE and length >= 26:  # WAVE_FORMAT_EXTENSIBLE: the tag stands further behind
            (tag,) = unpack("<H", _read(file, place + 24, 2))
        expected = channels * -(-bits // 8)
        fits = block == expected and per_second in (0, rate * block) and (tag in LINEAR or bits == 8)
        if tag in LINEAR + COMPANDED and not fits:
            return (
                f"its header says {channels} channels of {bits} bits at {rate} Hz, but {per_second} bytes per second "
                f"in blocks of {block}"
            )
    if chunks and chunks[-1][0] == b"data":
        _, place, length = chunks[-1]
        rest = _riff_end(file) - place - length
        if 0 < length < PLACEHOLDER and rest > SLACK and _read(file, place + length, SLACK).strip(b"\0"):
            return f"its header states {length} bytes of samples, {rest} more of no known kind follow"
    return None


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """(name, place of the content, length of it) of the chunks of a RIFF file, as far as there are any."""
    place, end = 12, _riff_end(file)
    while place + 8 <= end:
        name, length = unpack("<4sI", _read(file, place, 8))
        if not re.fullmatch(rb"[ -~]{4}", name):
            break
        yield name, place + 8, length
        place += 8 + length + length % 2
        if length % 2 and _read(file, place - 1, 1) != b"\0":  # some writers do not pad
            place -= 1


def _riff_end(file: BinaryIO) -> int:
    head = _read(file, 0, 8)  # RF64, RIFX and Wave64 are not looked into
    return min(_size(file), 8 + int.from_bytes(head[4:], "little")) if head.startswith(b"RIFF") else 0


def _flac_contradiction(file: BinaryIO) -> str | None:
    """Why the STREAMINFO of a FLAC file does not fit its frames (RFC 9639, sections 8.2 and 9.1), or None."""
    head = _read(file, 0, 26)
    if not head.startswith(b"fLaC"):  # behind an ID3 tag
        return None
    packed = int.from_bytes(head[18:26], "big")
    rate, total = packed >> 44, packed % 2**36
    opening = _read(file, _flac_audio(file), 32)
    first = _flac_frame(opening)
    if first is not None and first[0] not in (0, rate):
        return f"its header says {rate} Hz, its frames say {first[0]} Hz"
    if first is not None and 0 < total < first[3]:
        return f"its header states {total} samples, its first frame holds {first[3]}"
    largest = int.from_bytes(head[15:18], "big")  # bytes of a frame; 0 = unknown
    length = min(TAIL, 3 * largest or TAIL)  # holds two whole frames
    tail = _read(file, max(0, _size(file) - length), length)
    # every frame opens with the two bytes that the first one opens with
    syncs = [opening[:2]] if first is not None else [b"\xff\xf8", b"\xff\xf9"]
    starts = sorted(start for sync in syncs for start in _places(sync, tail))
    frames = [_flac_frame(tail[start : start + 32]) for start in starts]
    frames = [frame for frame in frames if frame is not None and frame[0] in (0, rate)]
    # samples can look like one frame header, but not like one that goes on from another
    sure = [first] if first is not None else []
    for before, frame in pairwise(frames):
        if before[2] == frame[2] and frame[1] == before[1] + (1 if frame[2] else before[3]):
            sure.append(frame)
    block = int.from_bytes(head[8:10], "big")
    end = max((number * (block if in_blocks else 1) + length for _, number, in_blocks, length in sure), default=0)
    return f"its header states {total} samples, its frames go on to {end}" if total and end > total else None


def _places(part: bytes, data: bytes) -> Iterator[int]:
    """Where it occurs; much faster than a regular expression."""
    place = data.find(part)
    while place >= 0:
        yield place
        place = data.find(part, place + 1)


def _flac_audio(file: BinaryIO) -> int:
    """Where the first frame of a FLAC file starts, behind its metadata blocks."""
    place, last = 4, False
    while not last:
        head = _read(file, place, 4)
        if len(head) < 4:
            break
        last, place = bool(head[0] & 0x80), place + 4 + int.from_bytes(head[1:], "big")
    return place


def _flac_frame(data: bytes) -> tuple[int, int, bool, int] | None:
    """(rate in Hz or 0, number, whether it counts blocks and not samples, samples) of a frame header, if it is one."""
    if len(data) < 16:
        data = data.ljust(16, b"\0")
    block, code, lead = data[2] >> 4, data[2] & 15, data[4]
    ones = 8 - (lead ^ 0xFF).bit_length()
    if ones in (1, 8) or block == 0 or code == 15:
        return None
    number, place = lead & (0x7F >> ones), 5
    for byte in data[5 : 4 + max(1, ones)]:
        number, place = number << 6 | byte & 0x3F, place + 1
    width = {6: 1, 7: 2}.get(block, 0)
    stated = int.from_bytes(data[place : place + width], "big") + 1
    place += width
    length = stated if width else 192 if block == 1 else 576 << (block - 2) if block < 6 else 256 << (block - 8)
    width, unit = {12: (1, 1000), 13: (2, 1), 14: (2, 10)}.get(code, (0, 0))
    rate = int.from_bytes(data[place : place + width], "big") * unit if width else FLAC_RATES[code]
    place += width
    return (rate, number, data[1] == 0xF8, length) if _crc8(data[:place]) == data[place] else None


def _crc8(data: bytes) -> int:
    """CRC of polynomial x⁸ + x² + x + 1."""
    found = 0
    for byte in data:
        found = CRC8[found ^ byte]
    return found


def _last_page_is_whole(file: BinaryIO) -> bool:
    """Whether the file ends with a complete Ogg page that carries the end-of-stream flag (RFC 3533, section 6)."""
    tail = _read(file, max(0, _size(file) - TAIL), TAIL)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page.startswith(b"OggS"):
        return False
    segments = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(segments)


def _damaged_page(file: BinaryIO) -> int | None:
    """Where the first page of an Ogg file begins that does not match its checksum, or None; one page is held at a
    time."""
    position, place, last = file.tell(), 0, False
    file.seek(0)
    while len(head := file.read(27)) == 27 and head.startswith(b"OggS"):
        segments = file.read(head[26])
        page = head[:22] + bytes(4) + head[26:] + segments + file.read(sum(segments))
        last = bool(head[5] & 4)
        if _ogg_crc(page) != int.from_bytes(head[22:26], "little"):
            last = False
            break
        place += len(page)
    file.seek(position)
    return None if last else place


def _ogg_crc(page: bytes) -> int:
    """CRC-32 of polynomial 0x04C11DB7 from 0 without inversion, by zlib's, which starts at the other end of each byte
    and inverts."""
    found = zlib.crc32(page.translate(REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


def _read(file: BinaryIO, place: int, n_bytes: int) -> bytes:
    """Bytes from a place, leaving the position as it was."""
    position = file.tell()
    file.seek(place)
    found = file.read(n_bytes)
    file.seek(position)
    return found


def _size(file: BinaryIO) -> int:
    position = file.tell()
    size = file.seek(0, 2)
    file.seek(position)
    return size
