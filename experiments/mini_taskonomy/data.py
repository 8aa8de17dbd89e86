"""The photographs' patches on the device."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from depara_jax.data import photographs
from experiments.mini_taskonomy.config import PATCH


class Data(NamedTuple):
    """Patches on the device: uint8 [n, 48, 48, 3], and the photograph [n] that each is from."""

    images: jax.Array
    photograph: jax.Array


def load_data(*, per_photograph: int | None = None) -> tuple[Data, Data]:
    """The packaged photographs' training and validation patches, which share no pixel."""
    cut = functools.partial(photographs.patches, size=PATCH, per_photograph=per_photograph)
    train, validation = (
        Data(jnp.asarray(found.images), jnp.asarray(found.photograph, jnp.int32))
        for found in (cut("train"), cut("validation"))
    )
    return train, validation
