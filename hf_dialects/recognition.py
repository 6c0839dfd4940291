"""Saved recognisers of speech: a `ZipformerForRNNT`, its feature extractor and its vocabulary in one folder, and what
they transcribe."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm.auto import tqdm

from hf_dialects.data.audio import decode
from hf_dialects.data.tokens import decode_tokens, language_id, listed_tokens
from hf_dialects.errors import CheckpointError
from hf_dialects.icefall_config import read_tokens
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.rnnt_zipformer import ZipformerForRNNT

__all__ = ["load_recogniser", "transcribe"]

FILES = ("config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json")
ICEFALL_TOKENS = "tokens.txt"


def load_recogniser(path: str | Path, decode_only: bool = False):
    """What `save_for_hub` wrote with a tokenizer, in eval mode on the CPU.

    Args:
        path: its folder, or a run folder, whose `model/` is taken.
        decode_only: take a converted model of icefall too, whose tokens.txt says what its tokens mean, but not how
            texts are cut into them.

    Returns:
        (ZipformerForRNNT, ZipformerFeatureExtractor, tokenizer)

    Raises:
        CheckpointError: files are missing, or it is another kind of model.
    """
    from transformers import PreTrainedTokenizerFast

    folder = Path(path)
    folder = folder / "model" if (folder / "model").is_dir() else folder
    listed = decode_only and not (folder / FILES[-1]).is_file() and (folder / ICEFALL_TOKENS).is_file()
    if missing := [name for name in FILES[: -1 if listed else None] if not (folder / name).is_file()]:
        raise CheckpointError(
            f"{folder} holds no recogniser of speech, it lacks {', '.join(missing)}: give a run folder of a finished "
            "training with task: asr, or its model folder"
        )
    kind = json.loads((folder / FILES[0]).read_text("utf-8")).get("architectures")
    if kind != [ZipformerForRNNT.__name__]:
        raise CheckpointError(f"{folder} holds {kind}, which cannot transcribe; a {ZipformerForRNNT.__name__} can")
    model = ZipformerForRNNT.from_pretrained(folder)
    if listed:
        tokenizer = listed_tokens(read_tokens(folder / ICEFALL_TOKENS))
    else:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return model.eval(), ZipformerFeatureExtractor.from_pretrained(folder), tokenizer


@torch.no_grad()
def transcribe(
    model: ZipformerForRNNT,
    feature_extractor: ZipformerFeatureExtractor,
    tokenizer,
    recordings: Sequence,
    method: str = "greedy",
    num_beams: int = 4,
    language: str | None = None,
    batch_size: int = 16,
    lengths: Sequence[float] | None = None,
    progress: bool = False,
) -> list[str]:
    """The text of every recording, as the vocabulary spells it.

    Args:
        recordings: N of what `data.audio.decode` takes.
        method, num_beams: see `ZipformerForRNNT.generate`.
        language: with the method "attention" of a model that was trained with translations too: the language to write,
            "spoken" for the one that is spoken.
        batch_size: recordings of one pass.
        lengths: N, to put recordings of similar length into a batch; None = in order. Where the model is not
            pad-invariant the last frames of a recording depend on its batch a little.

    Raises:
        AudioError: a recording cannot be used.
        RecipeError: a language that the vocabulary has no token for.
        ValueError: a method that the model has no head for.
    """
    order = range(len(recordings)) if lengths is None else sorted(range(len(recordings)), key=lambda i: lengths[i])
    prefix = None if language is None else language_id(tokenizer, language)
    texts: list[str] = [""] * len(recordings)
    with tqdm(total=len(recordings), desc="transcribing", unit="clip", disable=not progress) as bar:
        for start in range(0, len(recordings), batch_size):
            rows = order[start : start + batch_size]
            clips = [decode(recordings[row], feature_extractor.sampling_rate) for row in rows]
            batch = feature_extractor(clips, return_tensors="pt").to(model.device)
            prefixes = None if prefix is None else torch.full((len(clips), 1), prefix, device=model.device)
            found = model.generate(**batch, method=method, num_beams=num_beams, prefix_ids=prefixes)
            for row, tokens, length in zip(rows, found.sequences.tolist(), found.lengths.tolist(), strict=True):
                texts[row] = decode_tokens(tokenizer, tokens[:length])
            bar.update(len(rows))
    return texts
