"""One of two processes that embed a corpus, for tests that kill it. Imports little, to begin at once."""

from pathlib import Path

OPTIONS = {"layers": (1, -1), "shard_size": 2, "batch_size": 4, "progress": False}


def job(folder: Path, out: Path, rank: int, frames: bool, streamed: bool = False) -> None:
    """Embed folder/corpus, or folder/parquet as a stream, with folder/model; folder/begun-RANK says when it begins."""
    import torch
    from datasets import load_dataset, load_from_disk

    from hf_dialects.embeddings import embed
    from hf_dialects.saving import load_for_inference

    torch.set_num_threads(1)
    model, extractor = load_for_inference(folder / "model", head=False)
    if streamed:
        corpus = load_dataset("parquet", data_dir=str(folder / "parquet"), split="train", streaming=True)
    else:
        corpus = load_from_disk(folder / "corpus")
    (folder / f"begun-{rank}").touch()
    embed(model, extractor, corpus, out, **OPTIONS, frames=frames, rank=rank, world_size=2)
