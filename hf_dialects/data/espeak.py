"""eSpeak NG through ctypes: text and a voice → samples. The library comes with the wheel espeakng-loader.

eSpeak keeps state between calls, so that the same call gives slightly different samples later in one process. Two
fresh processes that make the same calls in the same order agree exactly: `render` starts one for each list of calls.
"""

import ctypes
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from hf_dialects.data.audio import SAMPLING_RATE, encode
from hf_dialects.errors import DialectError
from hf_dialects.extras import require

__all__ = ["Synthesiser", "render"]

# speak_lib.h
OUTPUT_SYNCHRONOUS = 2
INITIALIZE_DONT_EXIT = 0x8000
CHARS_UTF8 = 1
POSITION_CHARACTER = 1
RATE, PITCH = 1, 3

# the package then loads as for the command line, without torch
FRESH_PROCESS = "import sys; sys.argv = ['hf-dialects']; from hf_dialects.data.espeak import main; main()"

Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class Voice(ctypes.Structure):
    """The fields of espeak_VOICE that are read; more follow."""

    _fields_ = (("name", ctypes.c_char_p), ("languages", ctypes.c_char_p), ("identifier", ctypes.c_char_p))


class Synthesiser:
    """The one eSpeak NG of this process.

    Attributes:
        sampling_rate: of the samples, in Hz (22,050).
        version: of eSpeak NG, such as "1.52.0".

    Raises:
        MissingExtra: espeakng-loader is not installed.
        DialectError: eSpeak cannot read its data.
    """

    def __init__(self):
        loader = require("espeakng_loader", extra="demo")
        self._library = library = ctypes.CDLL(loader.get_library_path())
        library.espeak_Info.restype = ctypes.c_char_p
        library.espeak_GetCurrentVoice.restype = ctypes.POINTER(Voice)
        library.espeak_Synth.argtypes = (
            ctypes.c_char_p,  # text
            ctypes.c_size_t,  # its bytes, with the final 0
            ctypes.c_uint,  # start
            ctypes.c_int,  # unit of start and end
            ctypes.c_uint,  # end, 0 = none
            ctypes.c_uint,  # flags
            ctypes.POINTER(ctypes.c_uint),
            ctypes.c_void_p,
        )
        data = loader.get_data_path()
        self.sampling_rate = library.espeak_Initialize(OUTPUT_SYNCHRONOUS, 0, data.encode(), INITIALIZE_DONT_EXIT)
        if self.sampling_rate <= 0:
            raise DialectError(
                f"eSpeak NG cannot read its data in {data}; it does not take paths longer than about 140 characters: "
                "install into a shorter folder, or install espeakng-loader anew"
            )
        library.espeak_ng_SetRandSeed(ctypes.c_long(0))  # breathy voices hold noise, seeded by the clock
        self.version = library.espeak_Info(None).decode()
        self._voice: str | None = None
        self._chunks: list[bytes] = []
        self._callback = Callback(self._collect)  # must live as long as the library may call it
        library.espeak_SetSynthCallback(self._callback)

    def speak(self, text: str, voice: str, pitch: int = 50, rate: int = 175) -> np.ndarray:
        """Samples (S,) int16 of one sentence.

        Args:
            voice: file name of a language, plus that of a voice variant: "en-US+m1".
            pitch: 0–100, 50 = as the voice has it.
            rate: words per minute, 80–450.

        Raises:
            DialectError: unknown voice or variant, or no sound came out.
        """
        if voice != self._voice:
            self._set_voice(voice)
        self._library.espeak_SetParameter(PITCH, pitch, 0)
        self._library.espeak_SetParameter(RATE, rate, 0)
        self._chunks.clear()
        encoded = text.encode("utf-8")
        status = self._library.espeak_Synth(encoded, len(encoded) + 1, 0, POSITION_CHARACTER, 0, CHARS_UTF8, None, None)
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        if status != 0 or not samples.any():
            raise DialectError(f"eSpeak NG gave no sound for {text!r} in voice {voice!r} (status {status})")
        return samples

    def _set_voice(self, voice: str) -> None:
        status = self._library.espeak_SetVoiceByName(voice.encode())
        identifier = self._library.espeak_GetCurrentVoice().contents.identifier
        loaded = (identifier or b"none").decode()  # "gmw/en-US+m1"
        # an unknown variant is left out without an error
        if status != 0 or loaded.rpartition("/")[2] != voice:
            raise DialectError(f"eSpeak NG {self.version} has no voice {voice!r}; it loaded {loaded!r} instead")
        self._voice = voice

    def _collect(self, samples, count: int, _events) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        return 0


def render(calls: Sequence[dict]) -> Iterator[bytes]:
    """FLAC files (16 kHz, mono, 16 bit) of the calls, in their order, made in one fresh process.

    Args:
        calls: arguments of `Synthesiser.speak`, as dicts.

    Raises:
        MissingExtra: espeakng-loader is not installed.
        DialectError: the process ended early; the message ends with its last words.
    """
    require("espeakng_loader", extra="demo")
    package_root = str(Path(__file__).resolve().parents[2])
    paths = [package_root, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", FRESH_PROCESS]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment
        )
        try:
            with suppress(BrokenPipeError), process.stdin as stdin:  # why it broke is told below
                stdin.write(json.dumps(list(calls)).encode())
            for done in range(len(calls)):
                header = process.stdout.read(4)
                size = struct.unpack("<I", header)[0] if len(header) == 4 else None
                flac = process.stdout.read(size) if size else b""
                if not size or len(flac) < size:
                    status = process.wait()
                    errors.seek(0)
                    said = errors.read().decode(errors="replace").strip().rpartition("\n")[2]
                    raise DialectError(
                        f"eSpeak NG stopped after {done} of {len(calls)} utterances (status {status}): {said}"
                    )
                yield flac
        finally:
            process.stdout.close()
            process.kill()
            process.wait()


def main() -> None:
    """The fresh process of `render`: JSON on stdin → for each call the size (4 bytes) and the FLAC file on stdout."""
    from scipy.signal import resample_poly  # whatever recordings are resampled with, the corpus stays the same bytes

    calls = json.load(sys.stdin.buffer)
    synthesiser = Synthesiser()
    common = math.gcd(SAMPLING_RATE, synthesiser.sampling_rate)
    ratio = SAMPLING_RATE // common, synthesiser.sampling_rate // common
    for call in calls:
        waveform = synthesiser.speak(**call).astype(np.float32) / 2**15
        flac = encode(resample_poly(waveform, *ratio), SAMPLING_RATE, "flac")
        sys.stdout.buffer.write(struct.pack("<I", len(flac)) + flac)
    sys.stdout.buffer.flush()
