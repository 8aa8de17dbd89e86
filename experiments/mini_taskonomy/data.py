"""The photographs' patches on the device."""

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
    splits = []
    for split in ("train", "validation"):
        cut = photographs.patches(split, size=PATCH, per_photograph=per_photograph)
        splits.append(Data(jnp.asarray(cut.images), jnp.asarray(cut.photograph, jnp.int32)))
    return splits[0], splits[1]
