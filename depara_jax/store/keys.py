"""What an artefact is stored under: the digest of everything that its numbers depend on."""

import dataclasses
import functools
import hashlib
import json
import re
from typing import Any

import jax
import numpy as np

from depara_jax import __version__
from depara_jax.errors import UnknownNameError
from depara_jax.recipe import Recipe
from depara_jax.store.source import PACKAGE, numerical_source
from depara_jax.types import ModelLike

__all__ = ["KINDS", "ArtefactKey", "artefact_key", "canonical", "code_version", "weights_digest"]

KINDS = ("features", "graph", "vector")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtefactKey:
    """Everything that an artefact's numbers depend on, as plain text.

    Attributes:
      kind: one of `KINDS`.
      weights: see `weights_digest`.
      architecture: network family and size.
      layer: address of the features.
      recipe: the choices that this kind depends on, as canonical JSON; "{}" for features.
      probe: fingerprint of the probe images and their order.
      preprocessing: the `InputSpec`, as canonical JSON.
      dtype: in which it was computed.
      code: see `code_version`.
    """

    kind: str
    weights: str
    architecture: str
    layer: str
    recipe: str
    probe: str
    preprocessing: str
    dtype: str
    code: str

    @property
    def address(self) -> str:
        """Digest of all fields, 64 hexadecimal digits."""
        return hashlib.sha256(canonical(dataclasses.asdict(self)).encode()).hexdigest()


def artefact_key(
    kind: str, model: ModelLike, layer: str, recipe: Recipe, probe: str, *, weights: str = ""
) -> ArtefactKey:
    """The key of one artefact of a model.

    Args:
      kind: one of `KINDS`.
      model: the network; anything with a `spec` will do if `weights` is given.
      layer: one of its layers.
      recipe: the method; only those choices that the kind depends on enter the key, so that another
        lambda finds the same graph.
      probe: fingerprint of the probe set.
      weights: the digest, if it is known already.

    Raises:
      UnknownNameError: another kind, or a layer that the model does not have.
    """
    if kind not in KINDS:
        raise UnknownNameError("kind of artefact", kind, KINDS)
    spec = model.spec
    return ArtefactKey(
        kind=kind,
        weights=weights or weights_digest(model),
        architecture=spec.architecture,
        layer=spec.check_layer(layer),
        recipe=canonical(_choices(kind, recipe)),
        probe=probe,
        preprocessing=canonical(dataclasses.asdict(spec.input)),
        dtype="float32",
        code=code_version(),
    )


def weights_digest(model: ModelLike) -> str:
    """The digest of a model's weights file, or of its variables and its traced program.

    A function of the user's own has no file and no name that could be trusted: two functions of one
    name differ in their programs.
    """
    if model.spec.sha256:
        return model.spec.sha256
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(model.variables):
        _add_array(digest, jax.tree_util.keystr(path), np.asarray(leaf))
    images = jax.ShapeDtypeStruct((1, *model.spec.input.shape), np.float32)
    forward = model.forward
    program = jax.make_jaxpr(lambda v, x: dict(forward(v, x)))(model.variables, images)
    digest.update(re.sub(r"0x[0-9a-f]+", "", str(program)).encode())  # no addresses in memory
    for number, constant in enumerate(program.consts):
        _add_array(digest, str(number), np.asarray(constant))
    return digest.hexdigest()


@functools.cache
def code_version() -> str:
    """Version and digest of the numerical part of this package's source."""
    digest = hashlib.sha256()
    for file in numerical_source():
        digest.update(file.relative_to(PACKAGE).as_posix().encode() + b"\0")
        digest.update(file.read_bytes() + b"\0")
    return f"{__version__}+{digest.hexdigest()[:16]}"


def canonical(value: Any) -> str:
    """JSON with one spelling for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _choices(kind: str, recipe: Recipe) -> dict[str, Any]:
    """The recipe's fields that an artefact of this kind depends on."""
    if kind == "features":
        return {}
    fields = recipe.fields_of("graph" if kind == "graph" else "vector")
    return fields | {"nodes": recipe.uses_nodes, "edges": recipe.uses_edges}


def _add_array(digest: Any, name: str, array: np.ndarray) -> None:
    if array.dtype.kind == "V" or array.dtype.hasobject:  # typed keys and the like have no bytes
        array = np.asarray(str(array))
    digest.update(f"{name}:{array.dtype.str}:{array.shape}:".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
