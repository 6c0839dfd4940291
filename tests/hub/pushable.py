"""Small run and model folders of every kind that can be pushed."""

import json
from pathlib import Path

import finished
import tiny
import torch
from tiny_zipformer import TWO, drawn

from hf_dialects.data.tokens import character_tokens
from hf_dialects.evaluation.transcripts import Transcripts, score_transcripts
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_zipformer import ZipformerConfig
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectModel
from hf_dialects.models.modeling_zipformer import ZipformerModel
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT
from hf_dialects.retrieval.centring import FrameStatistics
from hf_dialects.saving import save_for_hub

TEXTS = ("sea and land", "land and sea", "a sea", "and a land")
HEARD = ("sea and land", "land an sea", "a sea", "and land")


def classifier(folder: Path, corpus: Path, encoder: str, **options) -> Path:
    """A finished run around another encoder."""
    finished.run(folder, corpus, model=False)
    labels = dict(enumerate(json.loads((folder / "results.json").read_text())["labels"]))
    save_for_hub(tiny.model(encoder, id2label=labels, **options), tiny.feature_extractor(encoder), folder / "model")
    return folder


def encoder(folder: Path) -> Path:
    """A model folder: an encoder for retrieval with statistics of two layers."""
    torch.manual_seed(2)
    model = DialectModel(DialectConfig(encoder_config=tiny.ENCODERS["wav2vec2"]())).eval()
    extractor = tiny.feature_extractor("wav2vec2")
    others = [tiny.waveform(1.0, seed) for seed in (7, 8)]
    statistics = {
        layer: FrameStatistics.fit(
            model.encode(others, extractor, layer=layer, frames=True), "two recordings", ["a", "b"], True
        )
        for layer in (2, 3)
    }
    model.set_frame_statistics(statistics)
    save_for_hub(model, extractor, folder)
    return folder


def recogniser(folder: Path, seed: int = 3) -> Path:
    """A run folder of speech recognition."""
    tokenizer = character_tokens(TEXTS)
    sizes = TWO | {"vocab_size": len(tokenizer), "decoder_dim": 8, "joiner_dim": 12, "ctc": True}
    sizes |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = drawn(ZipformerForRNNT(ZipformerConfig(**sizes)), seed)
    save_for_hub(model, ZipformerFeatureExtractor(feature_size=20), folder / "model", tokenizer)
    (folder / "results.json").write_text(json.dumps(asr_results(model)), encoding="utf-8")
    (folder / "recipe.yaml").write_text("task: asr\ndata: {source: islands}\n", encoding="utf-8")
    return folder


def asr_results(model) -> dict:
    """Scored transcripts of four utterances of two varieties."""
    rows = {
        str(number): {"id": str(number), "dialect": "north" if number < 2 else "south", "speaker": f"s{number}"}
        for number in range(len(TEXTS))
    }
    spoken, heard = ({id: texts[int(id)] for id in rows} for texts in (TEXTS, HEARD))
    scores = score_transcripts(
        Transcripts(Path("test.csv"), spoken, rows),
        Transcripts(Path("test.csv"), heard, rows),
        by=["dialect"],
        draws=50,
    )
    return {
        "schema": 1,
        "task": "asr",
        "scores": {"test": {"greedy": scores}},
        "selected_on": {"split": "validation", "by": "cer", "best": "checkpoint-7", "weights": "mean"},
        "model": {"parameters": model.num_parameters(), "tokens": model.config.vocab_size},
        "data": {"split_by": ["speaker"], "splits": {"test": {"n": 4, "hours": 0.001, "speakers": 4}}},
        "skipped": {},
        "seed": 0,
        "environment": {"versions": {"torch": "2"}, "device": "cpu", "command": "train", "seconds": 1.0},
    }


def zipformer(folder: Path) -> Path:
    """A model folder: a Zipformer encoder."""
    model = drawn(ZipformerModel(ZipformerConfig(**TWO)), seed=4)
    save_for_hub(model, ZipformerFeatureExtractor(feature_size=20), folder)
    return folder
