"""Small networks, probe sets and helpers that many tests share."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.models import InputSpec, Model

SIZE = 8


def conv(x: jax.Array, kernel: jax.Array, stride: int = 1) -> jax.Array:
    return jax.lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def forward(variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
    """Two convolutions with ReLU, max-pooling, a linear map with tanh."""
    x = jax.nn.relu(conv(images, variables["conv1"]))
    out = {"stem": x}
    x = out["body"] = jax.nn.relu(conv(x, variables["conv2"], 2))
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(x.shape[0], -1)
    out["answer"] = jnp.tanh(x @ variables["linear"])
    return out


def variables(seed: int, channels: int = 3) -> dict[str, jax.Array]:
    keys = jax.random.split(jax.random.key(seed), 3)
    return {
        "conv1": jax.random.normal(keys[0], (3, 3, channels, 4)) / 3,
        "conv2": jax.random.normal(keys[1], (3, 3, 4, 5)) / 4,
        "linear": jax.random.normal(keys[2], (SIZE // 4 * SIZE // 4 * 5, 6)) / 9,
    }


def model(seed: int, *, name: str | None = None, size: int = SIZE) -> Model:
    assert size == SIZE or size > SIZE
    function = forward if size == SIZE else pooled_forward
    return Model.from_function(
        function, variables(seed), name=name or f"net{seed}", input=InputSpec(size=(size, size))
    )


def pooled_forward(variables: Mapping[str, Any], images: jax.Array) -> dict[str, jax.Array]:
    """The same network on larger images, which it shrinks to its own size first."""
    small = jax.image.resize(images, (images.shape[0], SIZE, SIZE, 3), "linear")
    return forward(variables, small)


class ArrayProbe:
    """A probe set of plain arrays that are preprocessed already."""

    def __init__(self, images: np.ndarray, fingerprint: str = "images"):
        self.images, self.fingerprint, self.spec = np.asarray(images, np.float32), fingerprint, "it"

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, input: InputSpec, batch_size: int) -> Iterator[np.ndarray]:
        images = self.images
        if input.size != images.shape[1:3]:
            factor = input.size[0] // images.shape[1]
            images = images.repeat(factor, axis=1).repeat(factor, axis=2)
        for start in range(0, len(images), batch_size):
            yield images[start : start + batch_size]


def probe(count: int = 9, seed: int = 1) -> ArrayProbe:
    generator = np.random.default_rng(seed)
    return ArrayProbe(generator.normal(size=(count, SIZE, SIZE, 3)), f"seed{seed}-{count}")
