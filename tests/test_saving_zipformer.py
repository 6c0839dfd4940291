"""Zipformers load in a process without the package and give the same numbers."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tiny
import torch
from tiny_zipformer import SIX, drawn
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForRNNT

from hf_dialects.errors import CheckpointError
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.saving import model_files, save_for_hub

HEADS = {"vocab_size": 9, "decoder_dim": 8, "joiner_dim": 12, "ctc": True, "attention_decoder_layers": 1}
HEADS |= {"attention_decoder_dim": 8, "attention_decoder_heads": 2, "attention_decoder_ffn_dim": 16}
SIZES = SIX | {"num_mel_bins": 20} | HEADS
CONSUMER = """
import sys
sys.modules["hf_dialects"] = None  # any import of it fails
import numpy as np, torch
from transformers import AutoFeatureExtractor, AutoModel, AutoModelForRNNT

torch.set_num_threads(1)
folder = sys.argv[1]
waveforms = list(np.load(f"{folder}/waveforms.npz").values())
options = {"trust_remote_code": True}
for name in ("encoder", "recogniser"):
    extractor = AutoFeatureExtractor.from_pretrained(f"{folder}/{name}", **options)
    inputs = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    encoder = AutoModel.from_pretrained(f"{folder}/{name}", **options).eval()
    with torch.no_grad():
        found = {"features": inputs["input_features"], "frames": encoder(**inputs).last_hidden_state}
        if name == "recogniser":
            model = AutoModelForRNNT.from_pretrained(f"{folder}/{name}", **options).eval()
            assert type(model).__module__.startswith("transformers_modules")
            found["ctc"] = model(**inputs).ctc_logits
            found["loss"] = model(**inputs, labels=torch.tensor([[1, 2, 3], [4, -100, -100]])).loss
            for method in ("greedy", "modified_beam_search", "attention"):
                found[method] = model.generate(**inputs, method=method, num_beams=2, max_new_tokens=5).sequences
    np.savez(f"{folder}/{name}.npz", **{key: value.numpy() for key, value in found.items()})
assert not [name for name in sys.modules if name.startswith("hf_dialects.")]
"""


@pytest.fixture(scope="module")
def consumed(tmp_path_factory):
    """An encoder and a recogniser saved, then loaded and called in one process without the package."""
    folder = tmp_path_factory.mktemp("hub")
    extractor = ZipformerFeatureExtractor(feature_size=20)
    save_for_hub(drawn(ZipformerModel(ZipformerConfig(**SIZES))), extractor, folder / "encoder")
    save_for_hub(drawn(ZipformerForRNNT(ZipformerConfig(**SIZES)), seed=1), extractor, folder / "recogniser")
    np.savez(folder / "waveforms.npz", tiny.waveform(1.3), tiny.waveform(0.8, 1))
    modules = {"HF_MODULES_CACHE": str(tmp_path_factory.mktemp("modules"))}
    environment = os.environ | modules | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CONSUMER, str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", ["encoder", "recogniser"])
def test_without_the_package_all_numbers_are_bit_equal(consumed, name):
    found = np.load(consumed / f"{name}.npz")
    extractor = AutoFeatureExtractor.from_pretrained(consumed / name)
    assert type(extractor) is ZipformerFeatureExtractor
    waveforms = list(np.load(consumed / "waveforms.npz").values())
    inputs = extractor(waveforms, sampling_rate=16000, return_tensors="pt")
    assert np.array_equal(found["features"], inputs["input_features"])
    encoder = AutoModel.from_pretrained(consumed / name).eval()
    assert type(encoder) is ZipformerModel
    with torch.no_grad():
        assert np.array_equal(found["frames"], encoder(**inputs).last_hidden_state)
    assert found["frames"].std() > 0.1, "equal frames would prove nothing"


@pytest.mark.usefixtures("one_thread")
def test_without_the_package_heads_are_bit_equal(consumed):
    found = np.load(consumed / "recogniser.npz")
    model = AutoModelForRNNT.from_pretrained(consumed / "recogniser").eval()
    assert type(model) is ZipformerForRNNT
    waveforms = list(np.load(consumed / "waveforms.npz").values())
    inputs = AutoFeatureExtractor.from_pretrained(consumed / "recogniser")(waveforms, return_tensors="pt")
    with torch.no_grad():
        assert np.array_equal(found["ctc"], model(**inputs).ctc_logits)
        assert np.array_equal(found["loss"], model(**inputs, labels=torch.tensor([[1, 2, 3], [4, -100, -100]])).loss)
    for method in ("greedy", "modified_beam_search", "attention"):
        made = model.generate(**inputs, method=method, num_beams=2, max_new_tokens=5).sequences
        assert np.array_equal(found[method], made)
        assert made.shape[1] > 0, "empty sequences would prove nothing"


def test_a_folder_holds_weights_settings_and_every_model_file(consumed):
    sources = {path.name for path in model_files()}
    assert {"rnnt_zipformer.py", "modeling_zipformer.py", "configuration_zipformer.py"} <= sources
    for name in ("encoder", "recogniser"):
        names = {path.name for path in (consumed / name).iterdir()}
        assert names == sources | {"model.safetensors", "config.json", "preprocessor_config.json"}


def test_other_models_are_refused(tmp_path):
    with pytest.raises(
        CheckpointError, match=r"save_for_hub takes one of DialectForAudioClassification, .*found Linear"
    ):
        save_for_hub(torch.nn.Linear(1, 1), ZipformerFeatureExtractor(), tmp_path / "model")
