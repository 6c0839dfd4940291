"""Does a checkpoint give the same numbers in a fresh process in which this package cannot be imported?"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from hf_dialects.errors import CheckpointError
from hf_dialects.hub.source import model_folder

TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def check_reload(checkpoint: str | Path, folder: str | Path) -> None:
    """Refuse `folder` unless a fresh process reads from it, bit for bit, the weights and answers of `checkpoint`.

    Answers are logits of a classifier, frames and embeddings of an encoder (centred ones, where the model holds
    statistics), frames, token sequences and spellings of a recogniser.

    Args:
        checkpoint: run or model folder, loaded here.
        folder: what is to be shared, loaded there with `trust_remote_code=True`, on the CPU and without network.

    Raises:
        CheckpointError: it does not load there, or gives other numbers.
    """
    import numpy as np
    import torch

    from hf_dialects.hub import probe

    loaded = load_here(checkpoint)
    waveform = (0.1 * np.random.default_rng(0).standard_normal(loaded[1].sampling_rate)).astype(np.float32)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as there: sums over several threads may differ in their last bits
    try:
        expected = probe.numbers(*loaded, waveform)
    finally:
        torch.set_num_threads(threads)
    with TemporaryDirectory() as place:
        given, answers = (str(Path(place, name)) for name in ("given.npy", "answers.npz"))
        np.save(given, waveform)
        environment = {name: value for name, value in os.environ.items() if name not in TOKENS}
        environment |= {
            "HF_MODULES_CACHE": str(Path(place, "modules")),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = [sys.executable, "-P", probe.__file__, str(Path(folder).absolute()), given, answers]
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


def load_here(checkpoint: str | Path) -> tuple:
    """Model, feature extractor, and of a recogniser encoder and tokenizer, by this package's code; on the CPU.

    Raises:
        CheckpointError: files are missing or damaged.
    """
    from safetensors import SafetensorError
    from transformers import AutoFeatureExtractor, PreTrainedTokenizerFast

    from hf_dialects.hub.probe import TOKENIZER
    from hf_dialects.saving import AUTO_MAPS, FEATURE_EXTRACTORS, load_for_inference

    folder = model_folder(Path(checkpoint))
    config, settings = (
        json.loads((folder / name).read_text("utf-8")) for name in ("config.json", "preprocessor_config.json")
    )
    own = {kind.__name__: kind for kind in AUTO_MAPS}
    name = config["architectures"][0]
    if name not in own or name.endswith("ForAudioClassification"):
        return *load_for_inference(folder), None, None
    extractors = {kind.__name__: kind for kind in FEATURE_EXTRACTORS}
    extractor_class = extractors.get(settings.get("feature_extractor_type"), AutoFeatureExtractor)
    try:
        model, extractor = own[name].from_pretrained(folder), extractor_class.from_pretrained(folder)
        if not name.endswith("ForRNNT"):
            return model, extractor, None, None
        encoder = own["ZipformerModel"].from_pretrained(folder)
        has_tokenizer = (folder / TOKENIZER).is_file()
        return model, extractor, encoder, PreTrainedTokenizerFast.from_pretrained(folder) if has_tokenizer else None
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise CheckpointError(f"{folder} cannot be loaded: {first}; copy it again where a file is cut short") from error
