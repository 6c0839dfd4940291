"""What a contrastive objective adds to a training step."""

from collections.abc import Callable

import numpy as np
import torch
from measure import Row, interleaved
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor

from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.feature_extraction_dialect import extract
from hf_dialects.models.modeling_dialect import DialectForAudioClassification
from hf_dialects.models.objectives_dialect import OBJECTIVES, build_objective
from hf_dialects.training.build import build_model
from hf_dialects.training.recipe import load_recipe

BATCH, CLASSES, SECONDS = 32, 8, 1.0
ALONE = 20  # calls of an objective that are timed together
SMALL = {
    "hidden_size": 192,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 768,
    "conv_dim": (48,) * 7,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "layerdrop": 0.0,
    "mask_time_prob": 0.0,
}


def bench_objectives(rounds: int) -> list[Row]:
    """Forward, backward and optimiser step on 32 clips of 1 s in 8 dialects, with and without an objective."""
    encoders = {"tiny log-mel encoder (recipe demo)": tiny, "small wav2vec 2.0 (4 blocks of 192)": small}
    return [row for name, build in encoders.items() for row in steps(name, build, rounds)]


def steps(name: str, build: Callable, rounds: int) -> list[Row]:
    """One row per objective, against cross-entropy alone."""
    random = np.random.default_rng(0)
    labels = torch.arange(BATCH) % CLASSES
    waveforms = [0.1 * random.standard_normal(round(SECONDS * 16000)).astype(np.float32) for _ in range(BATCH)]
    ways = {}
    for objective in (None, *OBJECTIVES):
        torch.manual_seed(0)
        model, extractor = build(objective)
        ways[objective] = training_step(model, {**extract(extractor, waveforms), "labels": labels})
    found = interleaved(ways, max(rounds, 7))
    reference = found.pop(None)
    rows = []
    for objective, timing in found.items():
        own = objective_alone(objective, model.dialect.embedding_size, labels, rounds)
        note = (
            f"{1000 * reference.seconds:.0f} ms without, {1000 * timing.difference:+.1f} ms with it; "
            f"objective alone {1000 * own:.2f} ms, {own / reference.seconds:.2%} of the step"
        )
        rows.append(Row(f"{name}: step with {objective} / cross-entropy only", timing.ratio, note, at_most=1.1))
    return rows


def tiny(objective: str | None):
    """The model of the recipe `demo`."""
    section = load_recipe("demo").model | {"objective": objective}
    return build_model(section, [str(label) for label in range(CLASSES)], None)


def small(objective: str | None):
    """A wav2vec 2.0 on samples, randomly initialised."""
    config = DialectConfig(encoder_config=Wav2Vec2Config(**SMALL), num_labels=CLASSES, objective=objective)
    extractor = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    return DialectForAudioClassification(config), extractor


def training_step(model: DialectForAudioClassification, inputs: dict) -> Callable[[], None]:
    """A function that makes one step."""
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4)

    def step() -> None:
        optimiser.zero_grad()
        model(**inputs).loss.backward()
        optimiser.step()

    return step


def objective_alone(name: str, size: int, labels: torch.Tensor, rounds: int) -> float:
    """Seconds of an objective, forward and backward, on random embeddings (B, P)."""
    objective = build_objective(name)
    embeddings = torch.randn(BATCH, size, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def calls() -> None:
        for _ in range(ALONE):
            objective(embeddings, labels).backward()

    return interleaved({name: calls}, rounds)[name].seconds / ALONE
