"""Tiny random encoders, saved as checkpoints: a whole grid runs on a CPU in minutes. Its numbers mean nothing."""

from pathlib import Path

from transformers import (
    HubertConfig,
    HubertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    set_seed,
)

from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.configuration_ecapa_dialect import EcapaConfig
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectModel

SIZE = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (10, 8, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
}
ECAPA = {"num_mel_bins": 20, "channels": 16, "hidden_size": 24, "res2net_scale": 4, "squeeze_size": 8}
ECAPA_POOLING = {"pooling": "ecapa", "pooling_options": {"attention_size": 8, "embedding_size": 12}}
OVERRIDES = (
    "training.max_steps=2",
    "training.learning_rate=0.01",
    "training.batch_size=16",
    "training.eval_strategy=steps",
    "training.eval_steps=2",
    "training.save_strategy=steps",
    "training.save_steps=2",
    "training.use_cpu=true",
    "training.threads=1",
    "model.window_s=1.0",
    "model.stride_s=1.0",
    "evaluation.draws=50",
    "evaluation.baselines=false",
)
MAP_MIX_OVERRIDES = (  # a third of the steps is an epoch of the smoke split, so its data map knows every recording
    *OVERRIDES,
    "training.batch_size=32",
    "training.max_steps=9",
    "training.eval_steps=3",
    "training.save_steps=3",
    "training.crop_s=1.0",
)


def tiny_encoders(folder: Path) -> dict[str, str]:
    """Encoder of `salvi.ENCODERS` and `map_mix.ENCODERS` → folder of a checkpoint; made once, from fixed seeds. The
    Italian ones are CTC models."""
    samples = Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    mel = DialectFeatureExtractor(feature_size=ECAPA["num_mel_bins"])
    builders = {
        "wavlm-large": (lambda: WavLMModel(WavLMConfig(**SIZE)), samples),
        "xlsr-53": (lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE)), samples),
        "xls-r-300m": (lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE)), samples),
        "xlsr-53-ita": (lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**SIZE, vocab_size=8)), samples),
        "xls-r-300m-ita": (lambda: Wav2Vec2ForCTC(Wav2Vec2Config(**SIZE, vocab_size=8)), samples),
        "ecapa": (lambda: DialectModel(DialectConfig(encoder_config=EcapaConfig(**ECAPA), **ECAPA_POOLING)), mel),
        "wav2vec2": (lambda: Wav2Vec2Model(Wav2Vec2Config(**SIZE)), samples),
        "hubert": (lambda: HubertModel(HubertConfig(**SIZE)), samples),
    }
    for seed, (name, (build, extractor)) in enumerate(builders.items()):
        if not (folder / name / "preprocessor_config.json").is_file():
            set_seed(seed)
            build().save_pretrained(folder / name)
            extractor.save_pretrained(folder / name)
    return {name: str(folder / name) for name in builders}
