"""ResNets: ImageNet's (torchvision's v1.5) and CIFAR's (option A shortcuts)."""

from depara_jax.models.resnet.config import Family, ResNetConfig
from depara_jax.models.resnet.modeling import ResNet
from depara_jax.models.resnet.params import configure, schemes

__all__ = ["Family", "ResNet", "ResNetConfig", "configure", "schemes"]
