"""Small networks and data for the training tests; run as a script it trains one in a folder."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.models.encoder import EncoderConfig
from depara_jax.models.resnet import ResNetConfig
from depara_jax.models.vgg import VGGConfig
from depara_jax.spec import InputSpec
from depara_jax.training import (
    Examples,
    Images,
    Network,
    RunFolder,
    TrainConfig,
    cut_network,
    encoder_network,
    fit,
)
from depara_jax.training.networks import resnet_network, vgg_network

CLASSES = 3
VGG = VGGConfig(11, True, CLASSES, width=1 / 32)
RESNET = ResNetConfig(8, "cifar", CLASSES, width=0.25)
ENCODER = EncoderConfig(widths=(4, 4), strides=(1, 2), features=4)
INPUT = InputSpec(size=(32, 32))


def network(family: str) -> Network:
    if family == "encoder":
        return encoder_network(ENCODER, CLASSES)
    return resnet_network(RESNET) if family == "resnet" else vgg_network(VGG)


def trained_values(net: Network, seed: int = 7) -> dict[str, jax.Array]:
    """Values with nothing at its default: statistics, scales and biases too."""
    rng = np.random.default_rng(seed)

    def moved(name, value):
        if name.endswith((".scale", ".var")):
            return value * rng.uniform(0.5, 1.5, value.shape)
        return value + 0.05 * rng.normal(size=value.shape)

    drawn = net.draw(jax.random.key(seed))
    return {name: jnp.asarray(moved(name, value), jnp.float32) for name, value in drawn.items()}


def examples(count: int = 22, seed: int = 0, side: int = 32) -> Examples:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    return Examples.from_arrays(images, np.arange(count) % CLASSES, "abc")


CONFIG = TrainConfig(batch_size=8, epochs=5, shift=2, seed=3)


def run(folder: str, slow: bool = False):
    """Trains a residual network above its second unit, telling what epoch it has finished."""
    net = network("resnet")
    parts = cut_network(net, trained_values(net), "layer1.0", seed=CONFIG.seed)
    kept = RunFolder(folder, {"config": CONFIG.to_dict(), "network": net.name})

    def progress(done, total, loss):
        print(f"epoch {done}", flush=True)  # noqa: T201 - the test reads it
        if slow:
            sys.stdin.readline()  # waits here until it is killed, or told to go on

    trained = fit(
        net, parts, examples(), Images(INPUT, shift=2), CONFIG, validation=examples(7, 1),
        folder=kept, progress=progress,
    )  # fmt: skip
    result = {"accuracy": trained.metrics[-1]["accuracy"]}
    kept.finish(result, network=net, values=trained.values)
    return trained


if __name__ == "__main__":
    run(sys.argv[1], slow="--slow" in sys.argv)
