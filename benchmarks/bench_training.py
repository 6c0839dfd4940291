"""Training on recordings of uneven length: batches by length, the Trainer beside a bare loop, attention."""

import tempfile
from collections.abc import Callable

import numpy as np
import torch
from bench_objectives import SMALL, training_step
from datasets import Dataset
from measure import Row, interleaved
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

from hf_dialects.data.audio import encode
from hf_dialects.data.collate import Collator
from hf_dialects.data.samplers import GlobalBatches, build_sampler
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.training.arguments import DialectTrainingArguments, arguments_of
from hf_dialects.training.fit import clips
from hf_dialects.training.trainer import DialectTrainer

RECORDINGS, BATCH, LABELS = 128, 8, ("a", "b", "c", "d")
SHORTEST, LONGEST = 1.0, 8.0  # seconds
SAMPLERS = {
    "random": {"sampler": "random"},
    "buckets": {"sampler": "buckets"},
    "seconds": {"sampler": "buckets", "batch_size": 4 * BATCH, "sampler_options": {"max_seconds": BATCH * 4.5}},
}
OPTIONS = {"num_train_epochs": 1, "eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False}
SMALLER = {**SMALL, "hidden_size": 96, "num_hidden_layers": 3, "intermediate_size": 384, "conv_dim": (32,) * 7}


def bench_lengths(rounds: int) -> list[Row]:
    """One epoch of a small wav2vec 2.0 on recordings of 1 to 8 s in batches at random and by length."""
    corpus = recordings()
    with tempfile.TemporaryDirectory() as folder:
        bare = bare_loop(corpus, folder, **SAMPLERS["buckets"])
        trainers = {name: trainer(corpus, folder, **options) for name, options in SAMPLERS.items()}
        ways = {**{name: one.train for name, one in trainers.items()}, "bare loop": bare}
        found = interleaved(ways, max(rounds, 7))
        waste = {name: padding(one.batches(), corpus["duration"]) for name, one in trainers.items()}
        steps = len(trainers["buckets"].batches())
    note = f"padding {{:.1%}}; at random {waste['random']:.1%}, {found['random'].seconds:.1f} s an epoch"
    rows = []
    for name, what in (("buckets", f"batches of {BATCH} of like length"), ("seconds", "batches of as many seconds")):
        said = note.format(waste[name])
        rows.append(Row(f"epoch of 1 to 8 s in {what} / at random", found[name].ratio, said, at_most=0.66))
        rows.append(Row(f"share of padding in {what}", waste[name], "of the batches, without a clock", at_most=0.08))
    bare = found["bare loop"]
    rows.append(
        Row(
            "step of the Trainer / of a bare PyTorch loop, same model and batches",
            found["buckets"].seconds / bare.seconds,
            f"{1000 * bare.seconds / steps:.0f} ms a bare step",
        )
    )
    return rows


def bench_attention(rounds: int) -> list[Row]:
    """Steps of a small wav2vec 2.0 on 8 clips of 8 s: one attention kernel or plain products, compiled or not."""
    random = np.random.default_rng(0)
    waveforms = [0.1 * random.standard_normal(round(LONGEST * 16000)).astype(np.float32) for _ in range(8)]
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    inputs = {**extract(extractor, waveforms), "labels": torch.arange(8) % len(LABELS)}
    ways = {}
    for name in ("eager", "sdpa", "compiled"):
        torch.manual_seed(0)
        config = DialectConfig(encoder_config=Wav2Vec2Config(**SMALL), num_labels=len(LABELS))
        model = DialectForAudioClassification._from_config(
            config, attn_implementation="eager" if name == "eager" else "sdpa"
        )
        if name == "compiled":
            model.compile()
        ways[name] = training_step(model, inputs)
    found = interleaved(ways, max(rounds, 7))
    note = f"small wav2vec 2.0, 8 clips of 8 s; {1000 * found['eager'].seconds:.0f} ms a step with plain products"
    return [
        Row("step with scaled_dot_product_attention / plain products", found["sdpa"].ratio, note),
        Row("step with it and torch.compile / plain products", found["compiled"].ratio, "compiled before the rounds"),
    ]


def recordings() -> Dataset:
    """Noise of 1 to 8 s, evenly distributed."""
    random = np.random.default_rng(0)
    durations = random.uniform(SHORTEST, LONGEST, RECORDINGS)
    noise = 0.1 * random.standard_normal(round(LONGEST * 16000)).astype(np.float32)
    files = [encode(noise[: round(duration * 16000)], 16000, "wav") for duration in durations]
    return Dataset.from_dict(
        {
            "audio": [{"bytes": file, "path": None} for file in files],
            "id": [f"noise-{number}" for number in range(RECORDINGS)],
            "dialect": [number % len(LABELS) for number in range(RECORDINGS)],
            "duration": durations.astype(np.float32),
        }
    )


def trainer(corpus: Dataset, folder: str, **options) -> DialectTrainer:
    """Without evaluation and checkpoints."""
    model, extractor, arguments, train = _parts(corpus, folder, options)
    return DialectTrainer(model, arguments, extractor, train)


def bare_loop(corpus: Dataset, folder: str, **options) -> Callable[[], None]:
    """The same epoch without a Trainer."""
    model, extractor, arguments, train = _parts(corpus, folder, options)
    model.train()
    collate = Collator(lambda found: extract(extractor, found))
    batches = build_sampler(arguments.sampler, BATCH, lengths=train.lengths, seed=arguments.seed)

    def epoch() -> None:
        optimiser = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate)
        for batch in batches:
            inputs = collate([train[key] for key in batch])
            del inputs["row"]
            model(**inputs).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), arguments.max_grad_norm)
            optimiser.step()
            optimiser.zero_grad()

    return epoch


def padding(batches: GlobalBatches, durations: list[float]) -> float:
    """Share of what the batches of an epoch hold that is padding."""
    lengths = np.asarray(durations)
    sizes = [(len(batch) * lengths[batch].max(), lengths[batch].sum()) for batch in batches.global_batches(0)]
    held, used = np.sum(sizes, axis=0)
    return float(1 - used / held)


def _parts(corpus: Dataset, folder: str, options: dict) -> tuple:
    torch.manual_seed(0)
    config = DialectConfig(encoder_config=Wav2Vec2Config(**SMALLER), num_labels=len(LABELS), window_s=LONGEST)
    model = DialectForAudioClassification(config)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    arguments = arguments_of(
        DialectTrainingArguments,
        {"output_dir": folder, "batch_size": BATCH, "report_to": [], "disable_tqdm": True, **OPTIONS, **options},
    )
    return model, extractor, arguments, clips(corpus, extractor, config, arguments, training=True)
