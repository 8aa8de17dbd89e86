"""The networks and image sizes of vgg_narrow.npz."""

from depara_jax.models.vgg import VGGConfig

# 32 pixels leave 1x1 before the adaptive pooling, 70 leave 2x2: neither is divisible by 7.
CASES = {
    "vgg11_bn": (VGGConfig(11, batch_norm=True, num_classes=5, width=1 / 16), 32),
    "vgg11": (VGGConfig(11, batch_norm=False, num_classes=5, width=1 / 16), 70),
}
