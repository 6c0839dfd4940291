"""Does a checkpoint give the same numbers in a fresh process in which this package cannot be imported?"""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_dialects.errors import CheckpointError

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
CONSUMER = """
import sys
sys.modules["hf_dialects"] = None  # any import of it fails
import numpy as np, torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

torch.set_num_threads(1)
folder, given, answers, padding = sys.argv[1:]
waveform = np.load(given)["waveform"]
extractor = AutoFeatureExtractor.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForAudioClassification.from_pretrained(folder, trust_remote_code=True).eval()
inputs = extractor([waveform], sampling_rate=extractor.sampling_rate, padding=padding, return_tensors="pt")
with torch.no_grad():
    logits = model(**inputs).logits.float().numpy()
weights = {f"weight {name}": value.float().numpy() for name, value in model.state_dict().items()}
np.savez(answers, logits=logits, **weights)
"""


def check_reload(checkpoint: str | Path, folder: str | Path) -> None:
    """Refuse `folder` unless a fresh process reads from it, bit for bit, the weights and logits of `checkpoint`.

    Args:
        checkpoint: run or model folder, loaded here.
        folder: what is to be shared, loaded there with `trust_remote_code=True`, on the CPU and without network.

    Raises:
        CheckpointError: it does not load there, or gives other numbers.
    """
    import numpy as np
    import torch

    from hf_dialects.saving import load_for_inference

    model, extractor = load_for_inference(checkpoint)
    rate = extractor.sampling_rate
    waveform = (0.1 * np.random.default_rng(0).standard_normal(rate)).astype(np.float32)
    whisper = type(extractor).__name__ == "WhisperFeatureExtractor"  # whose encoder takes 30 s, no less
    padding = "max_length" if whisper else "longest"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: sums over several threads may differ in their last bits
    try:
        inputs = extractor([waveform], sampling_rate=rate, padding=padding, return_tensors="pt")
        with torch.no_grad():
            expected = {"logits": model(**inputs).logits.float().numpy()}
    finally:
        torch.set_num_threads(threads)
    expected |= {f"weight {name}": value.float().numpy() for name, value in model.state_dict().items()}
    with TemporaryDirectory() as place:
        given, answers = (str(Path(place, name)) for name in ("given.npz", "answers.npz"))
        np.savez(given, waveform=waveform)
        environment = {name: value for name, value in os.environ.items() if name not in TOKENS}
        environment |= {
            "HF_MODULES_CACHE": str(Path(place, "modules")),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = [sys.executable, "-P", "-c", CONSUMER, str(Path(folder).absolute()), given, answers, padding]
        done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise CheckpointError(
                f"{checkpoint} does not load in a process without this package: {last}; save it again with save_for_hub"
            )
        with np.load(answers) as found:
            differing = sorted(set(found.files) ^ set(expected)) or [
                name for name in found.files if not np.array_equal(found[name], expected[name], equal_nan=True)
            ]
    if differing:
        raise CheckpointError(
            f"{checkpoint} gives other numbers in a process without this package, first in {differing[0]}: its model "
            "files are not those of this version; save it again with save_for_hub"
        )
