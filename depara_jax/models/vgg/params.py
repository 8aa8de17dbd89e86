"""Where a VGG's tensors go: torchvision's names."""

from depara_jax.models.schemes import Scheme
from depara_jax.models.vgg.config import Kind, VGGConfig
from depara_jax.weights.mapping import Rule, linear_after_flatten

__all__ = ["schemes"]


def schemes(config: VGGConfig) -> tuple[Scheme, ...]:
    """Torchvision's naming, in which convolutions and norms share names and differ by index."""

    def of(*kinds: Kind) -> str:
        return "|".join(a.removeprefix("features.") for a in config.features_of(*kinds))

    rules = [
        Rule(rf"features\.({of('conv')})\.weight", r"features.\1.kernel", "conv"),
        Rule(rf"features\.({of('conv', 'norm')})\.bias", r"features.\1.bias"),
        Rule(r"classifier\.0\.weight", "classifier.0.kernel", linear_after_flatten(7, 7)),
        Rule(r"classifier\.([36])\.weight", r"classifier.\1.kernel", "linear"),
        Rule(r"classifier\.([036])\.bias", r"classifier.\1.bias"),
    ]
    if config.batch_norm:
        rules += [
            Rule(rf"features\.({of('norm')})\.weight", r"features.\1.scale"),
            Rule(rf"features\.({of('norm')})\.running_(mean|var)", r"features.\1.\2"),
        ]
    return (Scheme("torchvision", r"(features|classifier)\.\d+\.weight", rules),)
