"""Where Taskonomy's tensors go: the names of PyTorch ports and of TensorFlow checkpoints.

The ports' are `layer1.0.conv1.weight` (as in `visualpriors`), TF-slim's
`encoder/block1/unit_1/bottleneck_v1/conv1/weights`. The networks without a decoder (classes, room
layout, vanishing points) were built inside a variable scope of their own, `feedforward/`.
"""

from depara_jax.models.schemes import Scheme, torch_conv_norm
from depara_jax.models.taskonomy.config import TaskonomyConfig
from depara_jax.weights.mapping import Rule

__all__ = ["schemes"]

# What a TF 1.x training run saves beside the encoder: all that lies outside its two scopes (step,
# decoder, classifier, discriminator, the optimizer's scalars) and, inside them, Adam's moments.
_IGNORED_IN_TF = (r"(?!(?:feedforward/)?(?:encoder|compress1)/).*", r".*/Adam(?:_\d+)?")
_TF_NORM = {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"}


def schemes(config: TaskonomyConfig) -> tuple[Scheme, ...]:
    """The namings that are known; every bottleneck by number, so that none too many gets in."""
    return (
        Scheme("TF-slim", ".*/.*", _tf_rules(config), _IGNORED_IN_TF),
        Scheme("the PyTorch port", r".*conv\d\.weight", _torch_rules(config)),
    )


def _torch_rules(config: TaskonomyConfig) -> list[Rule]:
    rules = torch_conv_norm("conv1", "bn1", "stem")
    for b, units in enumerate(config.units):
        for u in range(units):
            here, there = rf"layer{b + 1}\.{u}\.", f"blocks.{b}.{u}"
            for k in (1, 2, 3):
                rules += torch_conv_norm(f"{here}conv{k}", f"{here}bn{k}", f"{there}.conv{k}")
            rules += torch_conv_norm(
                rf"{here}downsample\.0", rf"{here}downsample\.1", f"{there}.shortcut"
            )
    return rules + torch_conv_norm("compress1", "compress_bn", "compress")


def _tf_rules(config: TaskonomyConfig) -> list[Rule]:
    scope = "(?:feedforward/)?"
    rules = _tf_pair(f"{scope}encoder/conv1", "stem")
    for b, units in enumerate(config.units):
        for u in range(units):
            here = f"{scope}encoder/block{b + 1}/unit_{u + 1}/bottleneck_v1"
            for part in ("conv1", "conv2", "conv3", "shortcut"):
                rules += _tf_pair(f"{here}/{part}", f"blocks.{b}.{u}.{part}")
    return rules + _tf_pair(f"{scope}compress1", "compress")


def _tf_pair(conv: str, target: str) -> list[Rule]:
    return [
        Rule(f"{conv}/weights", f"{target}.conv.kernel"),  # HWIO already
        *(Rule(f"{conv}/BatchNorm/{k}", f"{target}.norm.{v}") for k, v in _TF_NORM.items()),
    ]
