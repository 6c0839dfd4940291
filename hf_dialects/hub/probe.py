"""The numbers that a checkpoint gives for one waveform.

Runs in two processes, with and without this package, so it imports only what every consumer of a checkpoint has:

    python probe.py FOLDER WAVEFORM.npy ANSWERS.npz
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForRNNT,
    AutoTokenizer,
)

TOKENIZER = "tokenizer.json"


def load_elsewhere(folder: str) -> tuple:
    """Model, feature extractor, and of a recogniser encoder and tokenizer, by the code that lies in the folder."""
    options = {"trust_remote_code": True}
    name = json.loads(Path(folder, "config.json").read_text("utf-8"))["architectures"][0]
    extractor = AutoFeatureExtractor.from_pretrained(folder, **options)
    if name.endswith(("ForAudioClassification", "ForSequenceClassification")):
        return AutoModelForAudioClassification.from_pretrained(folder, **options), extractor, None, None
    encoder = AutoModel.from_pretrained(folder, **options)
    if not name.endswith("ForRNNT"):
        return encoder, extractor, None, None
    has_tokenizer = Path(folder, TOKENIZER).is_file()
    tokenizer = AutoTokenizer.from_pretrained(folder, **options) if has_tokenizer else None
    return AutoModelForRNNT.from_pretrained(folder, **options), extractor, encoder, tokenizer


@torch.no_grad()
def numbers(model, extractor, encoder, tokenizer, waveform: np.ndarray) -> dict[str, np.ndarray]:
    """Everything that the model answers, then its weights.

    Args:
        encoder, tokenizer: of a recogniser of speech; None of other models.
        waveform: (S,) float32 at the extractor's rate.
    """
    whisper = type(extractor).__name__ == "WhisperFeatureExtractor"  # whose encoder takes 30 s, no less
    padding = "max_length" if whisper else "longest"
    inputs = extractor([waveform], sampling_rate=extractor.sampling_rate, padding=padding, return_tensors="pt")
    found = {}
    if encoder is not None:
        found["frames"] = encoder.eval()(**inputs).last_hidden_state
        made = model.eval().generate(**inputs)
        found |= {"sequences": made.sequences, "scores": made.scores}
        if (ctc := model(**inputs).ctc_logits) is not None:
            found["ctc_logits"] = ctc
    else:
        output = model.eval()(**inputs)
        for name in ("logits", "last_hidden_state", "embeddings"):
            if getattr(output, name, None) is not None:
                found[name] = getattr(output, name)
    found = {name: value.cpu().float().numpy() for name, value in found.items()}
    for layer in (getattr(model.config, "frame_statistics", None) or {}).get("sizes", ()):
        found[f"centred {layer}"] = model.encode(waveform, extractor, layer=int(layer), frames=True, centred=True)
    if tokenizer is not None:
        spelt = "\n".join(tokenizer.decode([token]) for token in range(len(tokenizer)))
        found["tokens"] = np.frombuffer(spelt.encode(), dtype=np.uint8)
    return found | {f"weight {name}": value.float().numpy() for name, value in model.state_dict().items()}


if __name__ == "__main__":
    sys.modules["hf_dialects"] = None  # any import of it fails
    torch.set_num_threads(1)
    np.savez(sys.argv[3], **numbers(*load_elsewhere(sys.argv[1]), np.load(sys.argv[2])))
