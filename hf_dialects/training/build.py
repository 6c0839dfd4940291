"""From a recipe's `model` section to a model and its feature extractor."""

from transformers import AutoConfig, AutoFeatureExtractor, Wav2Vec2FeatureExtractor

from hf_dialects.errors import RecipeError
from hf_dialects.models.configuration_dialect import DialectConfig
from hf_dialects.models.encoder_dialect import fixed_input, input_name
from hf_dialects.models.feature_extraction_dialect import DialectFeatureExtractor, longest_input_s
from hf_dialects.models.feature_extraction_zipformer import ZipformerFeatureExtractor
from hf_dialects.models.modeling_dialect import DialectForAudioClassification


def build_model(
    section: dict, labels: list[str], clusters: dict[str, str] | None, class_weights: list[float] | None = None
):
    """A model around a pretrained encoder, or around one from scratch.

    Args:
        section: `model` of a recipe. `encoder` is a Hub id or folder, or a dict with `model_type` and fields of that
            encoder's configuration for one built from scratch.
        labels: names of the dialects, in label order.
        clusters: dialect → cluster.
        class_weights: one per dialect.

    Returns:
        (DialectForAudioClassification, feature extractor)

    Raises:
        RecipeError: no encoder named, or options that do not fit it.
    """
    options = dict(section)
    encoder, features = options.pop("encoder", None), options.pop("features", None)
    overrides = options.pop("encoder_overrides", None)
    options |= {"id2label": dict(enumerate(labels)), "clusters": clusters, "class_weights": class_weights}
    if encoder is None:
        raise RecipeError(
            "model.encoder is missing: give a Hub id, a folder, or a mapping with model_type for one from scratch"
        )
    if isinstance(encoder, str):
        if features is not None:
            raise RecipeError(
                "model.features is for encoders built from scratch; a pretrained encoder keeps its own extractor"
            )
        model = DialectForAudioClassification.from_encoder_pretrained(encoder, encoder_overrides=overrides, **options)
        extractor = AutoFeatureExtractor.from_pretrained(encoder)
        extractor.return_attention_mask = True  # the stock pipeline asks for a mask only when this says so
        return model, extractor
    config = dict(encoder) | (overrides or {})
    model_type = config.pop("model_type", None)
    if model_type is None:
        raise RecipeError("model.encoder has no model_type, such as wav2vec2, hubert, wavlm, wav2vec2-bert or whisper")
    try:
        encoder_config = AutoConfig.for_model(model_type, **config)
    except ValueError as error:
        raise RecipeError(f"model.encoder: {error}") from error
    extractor = own_extractor(encoder_config, features or {})
    longest = longest_input_s(extractor)
    if options.get("window_s") is None and longest is not None:
        options["window_s"] = longest
        options.setdefault("stride_s", min(3.0, longest / 2))
    return DialectForAudioClassification(DialectConfig(encoder_config=encoder_config, **options)), extractor


def own_extractor(encoder_config, features: dict):
    """The feature extractor of an encoder from scratch: samples as they are, or log-mel features that fit its input.

    A Zipformer gets the Kaldi features that pretrained ones take, unless `features` are asked for.

    Raises:
        RecipeError: features asked for an encoder of samples, or a size that the encoder does not take.
    """
    if input_name(encoder_config) == "input_values":
        if features:
            raise RecipeError(f"model.features: the {encoder_config.model_type} encoder takes samples, not features")
        return Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=True)
    if encoder_config.model_type == "zipformer" and not features:
        return ZipformerFeatureExtractor(feature_size=encoder_config.num_mel_bins)
    whisper = encoder_config.model_type == "whisper"
    size = getattr(encoder_config, "num_mel_bins", None) or encoder_config.feature_projection_input_dim
    if features.get("feature_size", size) != size:
        raise RecipeError(f"model.features.feature_size is {features['feature_size']}, the encoder takes {size} bins")
    return DialectFeatureExtractor(
        **{"feature_size": size, "bins_first": whisper, "frames": fixed_input(encoder_config)} | features
    )
