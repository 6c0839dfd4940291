"""Recordings that break off: what libsndfile decodes without complaint though part of the file is gone."""

import re
from typing import BinaryIO

import soundfile

__all__ = ["UNKNOWN_LENGTH", "breaks_off", "left_unread"]

UNKNOWN_LENGTH = 2**63 - 1  # libsndfile's frame count for streams that state none (FLAC written to a pipe)
PLACEHOLDER = 0x7FFF0000  # sizes from here on are what programs write that cannot go back to the header
SLACK = 64  # bytes; some writers count padding
LONGEST_OGG_PAGE = 65307  # bytes

# libsndfile shortens the chunk to what is there and says so in its log only
SHORTENED = re.compile(r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)


def breaks_off(sound: soundfile.SoundFile, file: BinaryIO) -> str | None:
    """Why an opened recording is incomplete by its container's own account, or None.

    Args:
        sound: opened on `file`.
        file: its position is kept, since `sound` reads from there.
    """
    if sound.format in ("WAV", "WAVEX", "AIFF", "AU"):
        found = SHORTENED.search(sound.extra_info)
        stated, held = map(int, found.groups()) if found else (0, 0)
        if held + SLACK < stated < PLACEHOLDER:
            return f"its header states {stated} bytes of samples, {held} are there"
    if sound.format == "OGG" and not _last_page_is_whole(file):
        return "its last Ogg page is incomplete or is not marked as the end of the stream"
    return None


def left_unread(sound: soundfile.SoundFile, file: BinaryIO) -> str | None:
    """Why a recording that was read to its stated end goes on after it, or None.

    MP3 without a Xing or VBRI header states no length; libmpg123 then estimates it from the first frame, far too low
    for some files of variable bit rate, and reads no further.
    """
    if sound.format != "MP3":
        return None
    position, size = file.tell(), _size(file)
    # tags at the end are small; covers stand at the start
    if size - position > 8192 + size // 10:
        return f"its length is not stated and was estimated wrongly: {size - position} of {size} bytes are left over"
    return None


def _last_page_is_whole(file: BinaryIO) -> bool:
    """Whether the file ends with a complete Ogg page that carries the end-of-stream flag (RFC 3533, section 6)."""
    position, size = file.tell(), _size(file)
    file.seek(max(0, size - LONGEST_OGG_PAGE))
    tail = file.read()
    file.seek(position)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page.startswith(b"OggS"):
        return False
    segments = page[27 : 27 + page[26]]
    return bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(segments)


def _size(file: BinaryIO) -> int:
    position = file.tell()
    size = file.seek(0, 2)
    file.seek(position)
    return size
