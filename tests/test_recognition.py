"""Recognisers whose vocabulary is icefall's tokens.txt, and the plain trainer of transformers over a recogniser."""

import pytest
import spelt
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from hf_dialects.data.tokens import bpe_tokens, character_tokens, decode_tokens, encode_text, listed_tokens
from hf_dialects.errors import CheckpointError
from hf_dialects.recognition import load_recogniser, transcribe
from hf_dialects.saving import save_for_hub

TOKENIZER = character_tokens(spelt.TEXTS)


@pytest.fixture
def folder(tmp_path):
    """A recogniser as `convert_icefall` leaves it: without a tokenizer, with tokens.txt."""
    model = spelt.model(TOKENIZER)
    with torch.no_grad():
        model.joiner.output_linear.weight.normal_(std=2.0)
        model.joiner.output_linear.bias[0] -= 1.0  # otherwise it says nothing
    save_for_hub(model, spelt.extractor(), tmp_path / "model")
    symbols = sorted(TOKENIZER.get_vocab().items(), key=lambda item: item[1])
    lines = [f"{'▁' if symbol == ' ' else symbol} {number}" for symbol, number in symbols]
    (tmp_path / "model" / "tokens.txt").write_text("\n".join([*lines, f"#0 {len(lines)}"]) + "\n", "utf-8")
    return tmp_path / "model"


def test_tokens_of_icefall_spell_what_the_tokenizer_spells(folder, run, tmp_path):
    model, extractor, tokenizer = load_recogniser(folder, decode_only=True)
    cells = spelt.corpus()["audio"][:]
    expected = transcribe(model, extractor, TOKENIZER, cells)
    assert any(expected)
    assert transcribe(model, extractor, tokenizer, cells) == expected
    (tmp_path / "one.wav").write_bytes(cells[1]["bytes"])
    left = run("transcribe", folder, tmp_path / "one.wav", "--quiet")
    assert left.out == f"{tmp_path / 'one.wav'}\t{expected[1]}\n"
    with pytest.raises(CheckpointError, match=r"holds no recogniser of speech, it lacks tokenizer\.json"):
        load_recogniser(folder)  # to train, texts must be cut into tokens


@given(st.text("abc ", min_size=1, max_size=12))
def test_listed_pieces_are_put_together_as_their_tokenizer_does(text):
    pieces = bpe_tokens(("ab ab abc", "cab cab", "b a c"), size=14)
    ids = encode_text(pieces, text)
    assert decode_tokens(listed_tokens(pieces.get_vocab()), [1, *ids, 0]) == decode_tokens(pieces, ids)


class Rows(Dataset):
    """Two utterances of one length, as the trainer takes them."""

    def __len__(self):
        return 2

    def __getitem__(self, row):
        features = torch.as_tensor(spelt.extractor().filter_bank(spelt.waveform("abc a")))
        return {"input_features": features, "labels": torch.tensor(encode_text(TOKENIZER, "abc a"))}


def test_the_trainer_of_transformers_predicts(tmp_path):
    arguments = TrainingArguments(
        str(tmp_path), per_device_eval_batch_size=1, report_to=[], disable_tqdm=True, use_cpu=True
    )
    found = Trainer(spelt.model(TOKENIZER, ctc=True), arguments).predict(Rows())
    frames, lengths, logits = found.predictions
    assert frames.shape[:2] == logits.shape[:2] == (2, lengths[0])
    assert logits.shape[2] == len(TOKENIZER)
    assert found.metrics["test_loss"] > 0
