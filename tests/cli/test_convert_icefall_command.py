"""hf-dialects convert-icefall, there and back."""

import torch
from icefall_weights import made


def test_there_and_back(run, tmp_path):
    weights = made(query=6, position=3, value=5, causal=True, ctc=True)
    torch.save({"model": weights}, tmp_path / "pretrained.pt")
    options = ("query_head_dim=6", "chunk_size=16", "left_context_frames=32", "pad_invariant=true")
    done = run("convert-icefall", tmp_path / "pretrained.pt", "--out", tmp_path / "model", *options)
    parameters = sum(one.numel() for one in weights.values()) - 8 - 2 * 16 - 12  # icefall's unused scales
    assert done.out == f"written: {tmp_path / 'model'}, ZipformerForRNNT, {parameters:,} parameters\n"
    assert done.code == 0
    from hf_dialects import ZipformerConfig

    config = ZipformerConfig.from_pretrained(tmp_path / "model")
    assert (config.chunk_size, config.left_context_frames, config.pad_invariant) == (16, 32, True)
    assert run("convert-icefall", tmp_path / "model", "--to-icefall", "--out", tmp_path / "back.pt").code == 0
    back = torch.load(tmp_path / "back.pt", weights_only=True)["model"]
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], one) for name, one in weights.items())


def test_what_cannot_be_done_is_told(run, tmp_path):
    torch.save({"model": made()}, tmp_path / "a.pt")
    for arguments, message in (
        (("--out", "x", "query_head_dim"), "'query_head_dim' is no setting; query_head_dim= and a number"),
        (
            ("--out", "x", "chunk_size=many"),
            "'chunk_size=many' is no setting; chunk_size= and a number, a list such as",
        ),
        (("--out", "x", "chunks=16"), "chunks is no field of a Zipformer's configuration; did you mean chunk_size?"),
        (("--out", "x", "tokens=16"), "tokens is no field of a Zipformer's configuration; "),
        (("--out", "x", "--average"), "a.pt has no averaged weights (model_avg)"),
        (("--out", "x", "--to-icefall", "--average"), "--to-icefall takes a folder and --out, no other option"),
        (("--out", "x", "--to-icefall"), "a.pt cannot be exported: "),
    ):
        done = run("convert-icefall", tmp_path / "a.pt", *arguments)
        assert done.code == 1
        assert done.err.startswith("error: ")
        assert message in done.err
