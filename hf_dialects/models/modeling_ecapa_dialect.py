"""ECAPA-TDNN: a convolutional encoder of log-mel frames.

B utterances, F feature frames, M mel bins, C channels, D channels of the frames that come out.

Source: Desplanques, Thienpondt and Demuynck 2020, "ECAPA-TDNN: emphasized channel attention, propagation and
aggregation in TDNN based speaker verification"; order of operations and edges as in SpeechBrain's implementation, so
that its released weights give the same numbers. The paper's pooling is `EcapaPooling`.
"""

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutput

from .configuration_ecapa_dialect import EcapaConfig
from .tdnn_dialect import TdnnLayer, masked_mean


class SqueezeExcitation(nn.Module):
    """Weighs the channels by what their means over the utterance say of it: (B, C, F) → (B, C, F)."""

    def __init__(self, channels: int, squeeze_size: int):
        super().__init__()
        self.squeeze = nn.Linear(channels, squeeze_size)
        self.excite = nn.Linear(squeeze_size, channels)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        weights = self.excite(self.squeeze(masked_mean(values, mask)).relu()).sigmoid()  # (B, C)
        return values * weights[..., None]


class EcapaBlock(GradientCheckpointingLayer):
    """SE-Res2Block: (B, C, F) → (B, C, F).

    Under gradient checkpointing the running statistics of its normalisations move twice per step.
    """

    def __init__(self, config: EcapaConfig, kernel_size: int, dilation: int):
        super().__init__()
        width = config.channels // config.res2net_scale
        self.before = TdnnLayer(config.channels, config.channels)
        self.parts = nn.ModuleList(
            TdnnLayer(width, width, kernel_size, dilation) for _ in range(config.res2net_scale - 1)
        )
        self.after = TdnnLayer(config.channels, config.channels)
        self.excitation = SqueezeExcitation(config.channels, config.squeeze_size)

    def forward(self, values: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        first, *others = self.before(values, mask).chunk(len(self.parts) + 1, 1)
        parts = [first]
        for number, (layer, part) in enumerate(zip(self.parts, others, strict=True)):
            parts.append(layer(part + parts[-1] if number else part, mask))
        return values + self.excitation(self.after(torch.cat(parts, 1), mask), mask)


class EcapaModel(PreTrainedModel):
    """Frames from log-mel features, as many as there are feature frames.

    Hidden states: 0 is the input of the first block, n the output of block n, each of C channels; the last is the
    aggregation of all blocks, of D channels.
    """

    config_class = EcapaConfig
    base_model_prefix = "ecapa"
    main_input_name = "input_features"
    supports_gradient_checkpointing = True

    def __init__(self, config: EcapaConfig):
        super().__init__(config)
        self.stem = TdnnLayer(config.num_mel_bins, config.channels, config.input_kernel_size)
        self.layers = nn.ModuleList(
            EcapaBlock(config, kernel_size, dilation)
            for kernel_size, dilation in zip(config.kernel_sizes, config.dilations, strict=True)
        )
        self.aggregation = TdnnLayer(config.channels * config.num_hidden_layers, config.hidden_size)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv1d | nn.Linear):  # torch's defaults, as in the reference
            bound = module.weight[0].numel() ** -0.5
            nn.init.uniform_(module.weight, -bound, bound)
            nn.init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, nn.BatchNorm1d):
            for one, zero in ((module.weight, module.bias), (module.running_var, module.running_mean)):
                nn.init.ones_(one)
                nn.init.zeros_(zero)

    def forward(
        self,
        input_features: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        output_hidden_states: bool = False,
        **kwargs,
    ) -> BaseModelOutput:
        """Encode.

        Args:
            input_features: (B, F, M).
            attention_mask: (B, F), 1 = input, 0 = padding on the right, which changes no other frame.
            output_hidden_states: also return the hidden states below the last.

        Returns:
            `last_hidden_state` (B, F, D); `hidden_states`, a tuple of n + 1.

        Raises:
            ValueError: features of another size.
        """
        if input_features.ndim != 3 or input_features.shape[-1] != self.config.num_mel_bins:
            raise ValueError(
                f"the ecapa encoder takes features (B, F, {self.config.num_mel_bins}), "
                f"found {tuple(input_features.shape)}"
            )
        mask = None
        values = input_features.transpose(1, 2)
        if attention_mask is not None:
            mask = attention_mask.bool()
            values = values.masked_fill(~mask[:, None], 0)
        states = [self.stem(values, mask)]
        for layer in self.layers:
            states.append(layer(states[-1], mask))
        frames = self.aggregation(torch.cat(states[1:], 1), mask).transpose(1, 2)
        below = tuple(state.transpose(1, 2) for state in states[:-1])
        return BaseModelOutput(
            last_hidden_state=frames, hidden_states=(*below, frames) if output_hidden_states else None
        )
