"""Small convolutional encoders: 32x32 images to compact feature maps, without normalisation."""

from depara_jax.models.encoder.config import EncoderConfig
from depara_jax.models.encoder.modeling import Encoder, build_encoder, forward
from depara_jax.models.encoder.params import flatten_variables, init_variables, unflatten_variables

__all__ = [
    "Encoder",
    "EncoderConfig",
    "build_encoder",
    "flatten_variables",
    "forward",
    "init_variables",
    "unflatten_variables",
]
