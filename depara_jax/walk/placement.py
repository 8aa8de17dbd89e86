"""Where the walk's arrays live: images and parameters over a mesh of devices, on one host or many.

Images are sharded over the mesh's first axis, so that every device runs the network on its share of
a chunk. Parameters are replicated, or sharded over the second axis, each array along its longest
side. The programs stay as they are: GSPMD adds what has to be exchanged.
"""

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from depara_jax.errors import DeparaError
from depara_jax.spec import InputSpec
from depara_jax.types import Array, ProbeLike
from depara_jax.walk.batches import Batch, batches

__all__ = [
    "Placement",
    "check_agreement",
    "device_mesh",
    "from_lead",
    "is_lead",
    "local",
    "to_host",
]

IMAGES, PARAMETERS = "images", "parameters"


def device_mesh(
    *, images: int = 0, parameters: int = 1, devices: Sequence[Any] | None = None
) -> Mesh:
    """A mesh of devices for a `Placement`.

    Args:
      images: devices along the axis that images are sharded over; 0 takes all that are left.
      parameters: devices along the axis that parameters are sharded over.
      devices: by default all of the job's.

    Raises:
      DeparaError: more devices than there are, or, on many hosts, fewer than all.
    """
    devices = list(jax.devices() if devices is None else devices)
    images = images or max(1, len(devices) // parameters)
    wanted = images * parameters
    if wanted > len(devices) or (jax.process_count() > 1 and wanted != len(devices)):
        raise DeparaError(
            f"a mesh of {images} x {parameters} devices (images x parameters) was asked for, and "
            f"there are {len(devices)} on {jax.process_count()} host(s); give numbers whose "
            f"product is {'at most' if jax.process_count() == 1 else ''} {len(devices)}"
        )
    # Mesh() makes Auto axes, which jax.make_mesh does not.
    return Mesh(np.array(devices[:wanted]).reshape(images, parameters), (IMAGES, PARAMETERS))


class Placement:
    """Puts the arrays of a walk on the devices of a mesh.

    Args:
      mesh: with the axes of `device_mesh`.
    """

    def __init__(self, mesh: Mesh):
        self.mesh = mesh
        self.rows = NamedSharding(mesh, PartitionSpec(IMAGES))
        self.columns = NamedSharding(mesh, PartitionSpec(None, IMAGES))

    def batch_size(self, size: int) -> int:
        """At least `size`, and equally many images for every device."""
        axis = self.mesh.shape[IMAGES]
        return math.ceil(size / axis) * axis

    def batches(self, probe: ProbeLike, input: InputSpec, size: int) -> Iterator[Batch]:
        """All images, `size` at a time; a host decodes those of its own devices only."""
        if jax.process_count() == 1:
            yield from batches(probe, input, size, self.rows)
            return
        rows = np.arange(math.ceil(len(probe) / size) * size).clip(max=len(probe) - 1)
        shape = (size, *input.shape)
        slices = self.rows.addressable_devices_indices_map(shape).values()
        mine = sorted({r for s in slices if s is not None for r in range(*s[0].indices(size))})
        share: Any = probe  # a Probe; other ProbeLikes cannot be split between hosts
        local = share.subset(rows.reshape(-1, size)[:, mine].reshape(-1))
        position = {row: i for i, row in enumerate(mine)}
        for number, images in enumerate(local.batches(input, len(mine))):

            def piece(index: Any, images: np.ndarray = images) -> np.ndarray:
                return images[[position[row] for row in range(*index[0].indices(size))]]

            count = min(size, len(probe) - number * size)
            yield Batch(count, jax.make_array_from_callback(shape, self.rows, piece))

    def variables(self, variables: Any) -> Any:
        """Parameters on every device, or cut along their longest side over the second axis."""
        axis = self.mesh.shape[PARAMETERS]

        def place(leaf: Any) -> Any:
            shape = np.shape(leaf)
            sides = [side for side, length in enumerate(shape) if length % axis == 0]
            names: list[str | None] = [None] * len(shape)
            if axis > 1 and sides:
                names[max(sides, key=lambda side: shape[side])] = PARAMETERS
            sharding = NamedSharding(self.mesh, PartitionSpec(*names))
            if jax.process_count() == 1:
                return jax.device_put(leaf, sharding)
            value = np.asarray(leaf)
            return jax.make_array_from_callback(shape, sharding, lambda index: value[index])

        return jax.tree.map(place, variables)

    def entries(self, features: np.ndarray) -> jax.Array:
        """Features [n, d] sharded over their entries, for Gram products.

        Every edge normalisation is entry by entry over all images, so that no device needs what
        another has; the odd rest is filled up with zeros, which no inner product sees.
        """
        axis = self.mesh.shape[IMAGES]
        missing = -features.shape[1] % axis
        whole = np.pad(features, ((0, 0), (0, missing)))
        if jax.process_count() == 1:
            return jax.device_put(whole, self.columns)
        return jax.make_array_from_callback(whole.shape, self.columns, lambda index: whole[index])


def local(array: jax.Array) -> Array:
    """An array that this host can read whole: itself, or gathered from all hosts."""
    return array if array.is_fully_addressable else to_host(array)


def to_host(array: Any) -> np.ndarray:
    """The whole array, wherever its parts are."""
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(array, tiled=True))
    return np.asarray(array)


def check_agreement(facts: Mapping[str, str]) -> None:
    """Refuses to go on if the hosts of a job do not hold the same facts.

    Every host must call it at the same point, with the same names.

    Args:
      facts: what each must agree on (code, probe set, plan, weights), as text.

    Raises:
      DeparaError: on every host, naming the fact and the hosts that differ from the first.
    """
    if jax.process_count() == 1:
        return
    from jax.experimental import multihost_utils

    digests = [list(hashlib.sha256(f"{k}={v}".encode()).digest()) for k, v in facts.items()]
    everyone = multihost_utils.process_allgather(np.array(digests, np.uint8))
    for number, name in enumerate(facts):
        differs = (everyone[:, number] != everyone[0, number]).any(axis=1)
        if differs.any():
            hosts = ", ".join(str(i) for i in np.flatnonzero(differs))
            raise DeparaError(
                f"the hosts of this job do not have the same {name}: process {hosts} differs from "
                f"process 0 (this is process {jax.process_index()}, with {facts[name][:80]!r}); "
                "start all of them from one checkout, with one plan and one copy of the data"
            )


def is_lead() -> bool:
    """Whether this process decides and writes; the only one does."""
    return jax.process_index() == 0


def from_lead(values: np.ndarray) -> np.ndarray:
    """The first process's numbers, on every process; each must call it at the same point."""
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(values))
