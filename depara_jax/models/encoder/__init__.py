"""Small convolutional encoders: 32x32 images to compact feature maps, without normalisation."""

from depara_jax.models.encoder.config import EncoderConfig
from depara_jax.models.encoder.modeling import Encoder

__all__ = ["Encoder", "EncoderConfig"]
