"""Configuration of the ECAPA-TDNN encoder."""

from transformers import PreTrainedConfig


class EcapaConfig(PreTrainedConfig):
    """Sizes of an ECAPA-TDNN.

    The defaults are those of the paper with 1024 channels; its smaller model has 512. The released VoxLingua107 model
    has num_mel_bins=60 and hidden_size=3072.

    Args:
        num_mel_bins: M, mel bins of a feature frame.
        channels: C, of the first layer and of every block.
        hidden_size: D, channels of the frames that come out.
        input_kernel_size: frames that the first layer sees; odd.
        kernel_sizes: frames that the convolutions of each block see; odd.
        dilations: their dilations.
        res2net_scale: parts into which a block divides its channels.
        squeeze_size: width of the squeeze-and-excitation bottleneck.

    Raises:
        ValueError: sizes that do not go together.
    """

    model_type = "ecapa"

    num_mel_bins: int = 80
    channels: int = 1024
    hidden_size: int = 1536
    input_kernel_size: int = 5
    kernel_sizes: tuple[int, ...] | list[int] = (3, 3, 3)
    dilations: tuple[int, ...] | list[int] = (2, 3, 4)
    res2net_scale: int = 8
    squeeze_size: int = 128

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        if not self.kernel_sizes or len(self.kernel_sizes) != len(self.dilations):
            raise ValueError(
                f"kernel_sizes and dilations need one number per block, found {list(self.kernel_sizes)} and "
                f"{list(self.dilations)}"
            )
        if any(size % 2 == 0 for size in (self.input_kernel_size, *self.kernel_sizes)):
            raise ValueError(
                f"kernel sizes must be odd, found {self.input_kernel_size} for the input and {list(self.kernel_sizes)}"
            )
        if self.channels % self.res2net_scale:
            raise ValueError(f"channels ({self.channels}) must be a multiple of res2net_scale ({self.res2net_scale})")

    @property
    def num_hidden_layers(self) -> int:
        """Blocks between the first layer and the aggregation."""
        return len(self.dilations)
