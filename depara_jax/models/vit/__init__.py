"""Vision transformers S, B and L."""

from depara_jax.models.vit.config import ViTConfig
from depara_jax.models.vit.modeling import ViT
from depara_jax.models.vit.params import configure, schemes

__all__ = ["ViT", "ViTConfig", "configure", "schemes"]
