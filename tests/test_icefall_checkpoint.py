"""Files that icefall writes: what a training holds besides weights, averages, what is broken or dangerous."""

import os
from pathlib import Path, PurePosixPath

import pytest
import torch
from icefall_weights import made
from safetensors.torch import save_file

from hf_dialects.convert_icefall import convert_icefall, icefall_state_dict
from hf_dialects.errors import CheckpointError
from hf_dialects.icefall_checkpoint import averaged, read_checkpoint
from hf_dialects.icefall_config import read_tokens, special_tokens


class Sampler:
    """State of a class that only the training has."""

    def __init__(self):
        self.seen = {"cuts": [1, 2]}


class Table(dict):
    pass


def training(weights, batches=400, average=None, **settings):
    """What `epoch-*.pt` holds: weights, running mean, and the options and counters of the training."""
    return {
        "model": weights,
        "model_avg": None if average is None else {name: one.double() for name, one in average.items()},
        "optimizer": {"state": {0: {"step": 3, "delta": torch.zeros(2)}}, "param_groups": [{"lr": 0.045}]},
        "scheduler": None,
        "sampler": Sampler(),
        "exp_dir": Path("exp"),
        "manifest_dir": PurePosixPath("data/fbank"),
        "env_info": {"k2-version": "1.24", "device": torch.device("cpu")},
        "batch_idx_train": batches,
        "best_train_loss": float("inf"),
    } | settings


@pytest.fixture
def write(tmp_path):
    def write(content, name="epoch-1.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


def converted(path, out, **options):
    return icefall_state_dict(convert_icefall(path, out, **options))


def test_a_checkpoint_of_a_training_with_objects_of_all_kinds(write, tmp_path):
    weights = made(attention_layers=1)
    settings = {"query_head_dim": "32", "value_head_dim": "12,12,12", "attention_decoder_num_heads": 4, "sos_id": 3}
    settings |= {"eos_id": 4, "blank_id": 2, "feature_dim": 80, "lm_scale": 0.1, "warm_step": 50, "prune_range": 3}
    model = convert_icefall(write(training(weights, **settings)), tmp_path / "model")
    assert torch.equal(icefall_state_dict(model)["decoder.embedding.weight"], weights["decoder.embedding.weight"])
    config = model.config
    assert (config.blank_token_id, config.bos_token_id, config.eos_token_id) == (2, 3, 4)
    assert (config.attention_decoder_heads, config.lm_scale, config.loss_warmup_steps) == (4, 0.1, 50)
    assert config.prune_range == 3
    assert convert_icefall(tmp_path / "epoch-1.pt", tmp_path / "model", bos_token_id=7).config.bos_token_id == 7
    with pytest.raises(CheckpointError, match=r"query_head_dim of the training was '32,64,32'; one number for all"):
        convert_icefall(write(training(weights, query_head_dim="32,64,32")), tmp_path / "model")


def test_names_of_parallel_training(write, tmp_path):
    weights = made()
    wrapped = {f"module.{name}": one for name, one in weights.items()}
    found = converted(write({"model": wrapped}), tmp_path / "model")
    assert all(torch.equal(found[name], one) for name, one in weights.items())


def test_averages(write, tmp_path):
    now, early, late = (made(seed) for seed in (0, 1, 2))
    last, first = write(training(now, 1000, late)), write(training(now, 600, early), "epoch-0.pt")
    found = converted(last, tmp_path / "model", average=True)
    assert all(torch.equal(found[name], one) for name, one in late.items())
    found = converted(last, tmp_path / "model", since=first)
    for name in found:
        expected = (1000 * late[name].double() - 600 * early[name].double()) / 400
        torch.testing.assert_close(found[name].double(), expected, atol=1e-6, rtol=1e-6)


def test_the_mean_since_a_checkpoint_is_that_of_the_weights_after_it(write):
    """Running means as a training keeps them, of ten weights seen one after another."""
    seen = torch.randn(10, 3, dtype=torch.float64)

    def after(n):
        content = {"model": {"w": seen[n - 1]}, "model_avg": {"w": seen[:n].mean(0)}, "batch_idx_train": n}
        return read_checkpoint(write(content, f"checkpoint-{n}.pt"))

    first, last = after(4), after(10)
    torch.testing.assert_close(averaged(last, first)["w"], seen[4:].mean(0).float())
    torch.testing.assert_close(averaged(last)["w"], seen.mean(0).float())


def test_averages_that_cannot_be_taken(write):
    plain = read_checkpoint(write({"model": made()}, "pretrained.pt"))
    with pytest.raises(CheckpointError, match=r"pretrained\.pt has no averaged weights \(model_avg\)"):
        averaged(plain)
    last, same = (read_checkpoint(write(training(made(), 5, made()), f"epoch-{n}.pt")) for n in (2, 1))
    with pytest.raises(
        CheckpointError, match=r"epoch-1\.pt was saved after 5 batches, \S+epoch-2\.pt after 5: the mean"
    ):
        averaged(last, same)
    other = read_checkpoint(write(training(made(), 3, made(dims=(8, 8, 8))), "other.pt"))
    with pytest.raises(CheckpointError, match=r"other\.pt and \S+ are of different models: encoder\.\S+ differs"):
        averaged(last, other)


def test_tensors_stay_in_the_file(write):
    """Mapped, not read: a change of the file is seen."""
    path = write({"model": {"w": torch.zeros(100_000)}})
    weights = read_checkpoint(path).weights
    content = path.read_bytes()
    start = content.index(bytes(400_000))
    with path.open("r+b") as file:
        file.seek(start + 4 * 50_000)
        file.write(torch.ones(1).numpy().tobytes())
    assert weights["w"].sum() == 1


def explode(*_):
    Bomb.exploded = True


class Bomb:
    exploded = False

    def __reduce__(self):
        return explode, ("now",)


class Shell:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_code_in_a_checkpoint_is_not_run(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    allowed = set(torch.serialization.get_safe_globals())
    found = read_checkpoint(write(training(made(), hook=Bomb())))
    assert type(found.settings["hook"]).__name__ == "Ignored"
    with pytest.raises(CheckpointError, match=r"is no state dict: 1 of 2 entries are no tensors, the first: hook\."):
        read_checkpoint(write({"w": torch.zeros(1), "hook": Bomb()}))
    with pytest.raises(CheckpointError, match=r"cannot be read as weights \(.*names code, which is never run"):
        read_checkpoint(write(training(made(), hook=Shell())))
    assert not Bomb.exploded
    assert not (tmp_path / "exploded").exists()
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        read_checkpoint(write(training(made(), table=Table(a=1))))
    assert set(torch.serialization.get_safe_globals()) == allowed


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_files_that_are_no_checkpoints(write, tmp_path):
    def refused(path, message):
        with pytest.raises(CheckpointError, match=message):
            convert_icefall(path, tmp_path / "model")
        assert not (tmp_path / "model").exists()

    refused(tmp_path / "none.pt", r"none\.pt is no file: epoch-\*\.pt, .* or a state dict of icefall's recipe zipf")
    refused(tmp_path, r"is no file: epoch-\*\.pt, ")
    whole = write({"model": made()}).read_bytes()
    for length in (len(whole) // 2, len(whole) - 10, 3, 0):
        (tmp_path / "cut.pt").write_bytes(whole[:length])
        refused(tmp_path / "cut.pt", r"cut\.pt cannot be read as weights \(.+\): it is cut short, was not written by")
    (tmp_path / "text.pt").write_text("epoch 30")
    refused(tmp_path / "text.pt", r"text\.pt cannot be read as weights \(.+\): it is cut short, was not written by")
    torch.jit.script(torch.nn.Linear(2, 2)).save(tmp_path / "jit_script.pt")
    refused(tmp_path / "jit_script.pt", "cannot be read as weights .* is a TorchScript archive, or")
    save_file(made(), tmp_path / "a.safetensors")
    content = (tmp_path / "a.safetensors").read_bytes()
    (tmp_path / "a.safetensors").write_bytes(content[: len(content) // 2])
    refused(tmp_path / "a.safetensors", r"a\.safetensors cannot be read \(.+\): it is cut short or no safetensors file")
    refused(write([1, 2]), "holds list: epoch")
    refused(write({"model": [torch.zeros(1)]}), "holds list where names and tensors should be")
    refused(write({"model": {}}), "holds nothing where names and tensors should be")
    refused(write({"state_dict": made(), "epoch": 3}), "2 of 2 entries are no tensors, the first: state_dict, epoch")
    refused(write({"model": {"a": torch.zeros(1)}}), r"epoch-1\.pt cannot be converted: encoder_embed\S+ is missing, ")


LIBRISPEECH = "<blk> 0\n<sos/eos> 1\n<unk> 2\n▁THE 3\n#0 4\n#1 5\n"


def test_vocabulary(write, tmp_path):
    (tmp_path / "tokens.txt").write_text(LIBRISPEECH, "utf-8")
    assert read_tokens(tmp_path / "tokens.txt") == {"<blk>": 0, "<sos/eos>": 1, "<unk>": 2, "▁THE": 3}
    assert special_tokens({"a": 0, "<sos>": 1, "<eos>": 2, "<blk>": 3}) == {
        "blank_token_id": 3,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    assert special_tokens({"a": 0}) == {}
    moved = "a 0\n<sos/eos> 2\n<blk> 3\nb 1\n"
    (tmp_path / "moved.txt").write_text(moved, "utf-8")
    path = write({"model": made(vocabulary=4)})
    model = convert_icefall(path, tmp_path / "model", tokens=tmp_path / "moved.txt")
    assert (model.config.blank_token_id, model.config.bos_token_id, model.config.eos_token_id) == (3, 2, 2)
    assert (tmp_path / "model" / "tokens.txt").read_text("utf-8") == moved
    convert_icefall(path, tmp_path / "model")
    assert not (tmp_path / "model" / "tokens.txt").exists()


def test_a_vocabulary_that_does_not_fit(write, tmp_path):
    path, tokens = write({"model": made()}), tmp_path / "tokens.txt"

    def refused(text, message, **options):
        tokens.write_text(text, "utf-8")
        with pytest.raises(CheckpointError, match=message):
            convert_icefall(path, tmp_path / "model", tokens=tokens, **options)
        assert not (tmp_path / "model").exists()

    refused(LIBRISPEECH, r"tokens\.txt has 4 tokens, but the model has 11 tokens")
    refused(LIBRISPEECH, r"tokens\.txt has 4 tokens, but the model has no vocabulary", encoder_only=True)
    refused("a 0\nb\n", r"tokens\.txt, line 2 is 'b'; a symbol of its own and its id are expected")
    refused("a 0\na 1\n", r"tokens\.txt, line 2 is 'a 1'; a symbol of its own")
    refused("a 0\nb 2\n", r"tokens\.txt has 2 tokens, whose ids are not 0 to 1")
    tokens.unlink()
    with pytest.raises(CheckpointError, match=r"tokens\.txt cannot be read \(.*\); icefall's tokens\.txt is expected"):
        convert_icefall(path, tmp_path / "model", tokens=tokens)
