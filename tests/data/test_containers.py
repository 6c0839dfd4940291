"""Damage that libsndfile decodes without complaint."""

import io
import struct

import numpy as np
import pytest
import soundfile
from damaged import encoded, encoded_tones, ogg_checksum, on_every_page, patched, tones

from hf_dialects.data import containers
from hf_dialects.data.audio import decode
from hf_dialects.errors import AudioError


def pages(data: bytes) -> list[bytes]:
    found = []
    on_every_page(data, lambda page: found.append(page) or page)
    return found


@pytest.mark.parametrize("format", ["wav 16 bit", "wav 24 bit", "flac"])
def test_no_flipped_bit_of_a_header_changes_the_samples_unnoticed(format):
    data = encoded(tones(16000, 2)[:1600], 16000, format)
    whole = decode(data)
    refused = 0
    for place in range(44 if format.startswith("wav") else 42):
        for bit in range(8):
            try:
                found = decode(patched(data, place, bytes([data[place] ^ 1 << bit])))
            except AudioError:
                refused += 1
            else:
                n_samples = min(len(found), len(whole))
                assert max(len(found), len(whole)) <= n_samples + 16, (place, bit)  # as much as may be padding
                assert np.abs(found[:n_samples] - whole[:n_samples]).max() < 1e-6, (place, bit)
    assert refused > 100


@pytest.mark.parametrize("format", ["vorbis", "opus"])
def test_a_damaged_or_lost_page_is_noticed(format):
    data = encoded_tones(48000, 2, format)
    parts = pages(data)
    assert len(parts) > 4, "two headers and two pages of sound: nothing would be left of less"
    ends = np.cumsum([len(page) for page in parts])
    for end in ends:
        with pytest.raises(AudioError, match=r"corrupt|breaks off") as caught:
            decode(patched(data, end - 5, bytes([data[end - 5] ^ 0xFF])))
        assert caught.value.reason == "corrupt"
    for lost in {*range(len(parts))} - {2}:  # without the first page of sound it is a recording that starts later
        with pytest.raises(AudioError, match=r"corrupt|breaks off"):
            decode(b"".join(parts[:lost] + parts[lost + 1 :]))


def test_a_damaged_page_is_named_by_its_place():
    data = encoded_tones(48000, 2, "vorbis")
    first_of_sound = sum(map(len, pages(data)[:2]))
    with pytest.raises(AudioError, match=f"its Ogg page at byte {first_of_sound} does not match its checksum"):
        decode(patched(data, first_of_sound + 300, bytes(8)))


@pytest.mark.parametrize("damaged", [False, True])
def test_pages_are_read_one_by_one(damaged):
    data = encoded_tones(48000, 2, "vorbis")
    place = sum(map(len, pages(data)[:-1]))
    sizes = []

    class Counted(io.BytesIO):
        def read(self, size=-1):
            sizes.append(size)
            return super().read(size)

    file = Counted(patched(data, place + 100, b"\0\1\2") if damaged else data)
    file.seek(50)
    assert containers._damaged_page(file) == (place if damaged else None)
    assert file.tell() == 50, "who reads on must find the place"
    assert min(sizes) >= 0
    assert max(sizes) <= 255 * 255
    assert containers._damaged_page(io.BytesIO(data[:place])) == place
    assert containers._damaged_page(io.BytesIO(data[: place + 30])) == place


@pytest.mark.parametrize(
    ("place", "new", "message"),
    [
        (22, struct.pack("<H", 2), "2 channels of 16 bits at 16000 Hz, but 32000 bytes per second in blocks of 2"),
        (24, struct.pack("<I", 22050), "1 channels of 16 bits at 22050 Hz, but 32000 bytes per second in blocks of 2"),
        (34, struct.pack("<H", 24), "1 channels of 24 bits at 16000 Hz"),
        (40, struct.pack("<I", 4000), "its header states 4000 bytes of samples, 15200 more of no known kind follow"),
    ],
)
def test_a_wav_that_contradicts_itself_says_how(place, new, message):
    data = encoded_tones(16000, 1, "wav 16 bit")
    assert data[36:40] == b"data"
    with pytest.raises(AudioError, match=message):
        decode(patched(data, place, new))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (lambda packed: packed % 2**44 | 22050 << 44, "its header says 22050 Hz, its frames say 16000 Hz"),
        (lambda packed: packed - 5000, "its header states 4600 samples, its frames go on to 9600"),
    ],
)
def test_a_flac_whose_header_does_not_fit_its_frames_says_how(changes, message):
    data = encoded_tones(16000, 1, "flac")
    packed = changes(int.from_bytes(data[18:26], "big")).to_bytes(8, "big")
    with pytest.raises(AudioError, match=message):
        decode(patched(data, 18, packed))


@pytest.mark.parametrize("format", ["WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG"])
@pytest.mark.parametrize("rate", [8000, 11025, 12345, 44100, 96000])
def test_what_is_intact_passes(format, rate):
    """All encodings of these containers that libsndfile writes, among them headers of other forms and lengths."""
    for subtype in soundfile.available_subtypes(format):
        if subtype == "OPUS":
            continue
        for n_samples in (1, 999, 4000):
            file = io.BytesIO()
            try:
                soundfile.write(file, tones(rate)[:n_samples, 0], rate, format=format, subtype=subtype)
            except soundfile.LibsndfileError:  # not every encoding takes one channel at any rate
                continue
            # codecs of fixed blocks fill the last one
            assert len(decode(file.getvalue(), rate)) >= n_samples, (subtype, n_samples)


def test_chunks_around_the_samples_are_no_damage():
    data = encoded_tones(16000, 1, "wav 16 bit")
    note = b"LIST" + struct.pack("<I", 5) + b"INFO!\0"
    unpadded = b"note" + struct.pack("<I", 5) + b"hello"
    for chunks in (note, unpadded + note, note + unpadded, note + bytes(200)):
        size = struct.pack("<I", len(data) + len(chunks) - 8)
        assert np.array_equal(decode(patched(data + chunks, 4, size)), decode(data))
        before = data[:36] + chunks.rstrip(b"\0").ljust(len(note), b"\0") + data[36:] if chunks == note else data
        assert np.array_equal(decode(patched(before, 4, struct.pack("<I", len(before) - 8))), decode(data))


def test_checksums_have_their_published_values():
    assert containers._ogg_crc(b"123456789") == ogg_checksum(b"123456789") == 0x89A1897F
    assert containers._crc8(b"123456789") == 0xF4


@pytest.mark.parametrize("rate", [16000, 12345, 44100])
def test_flac_frames_are_numbered_by_blocks_or_samples(rate):
    """Frame headers as the format's specification has them, with their fields of variable length."""

    def header(second: bytes, number: bytes, code: bytes, more: bytes) -> bytes:
        start = b"\xff" + second + code + b"\x08" + number + more
        return start + bytes([containers._crc8(start)]) + bytes(16)

    assert containers._flac_frame(header(b"\xf8", b"\x05", b"\xc5", b"")) == (16000, 5, True, 4096)
    assert containers._flac_frame(header(b"\xf9", b"\xc3\xa9", b"\x75", b"\x03\xe7")) == (16000, 233, False, 1000)
    assert containers._flac_frame(header(b"\xf8", b"\xe2\x82\xac", b"\x6d", b"\x63" + struct.pack(">H", rate))) == (
        rate,
        0x20AC,
        True,
        100,
    )
    assert containers._flac_frame(header(b"\xf8", b"\x80", b"\xc5", b"")) is None  # no number begins like this
    assert containers._flac_frame(b"\xff\xf8\xc5\x08\x05\x00" + bytes(20)) is None  # another checksum
