"""Models by name: the packaged zoos' networks, and architectures with weights of one's own."""

import difflib
from pathlib import Path

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models.model import Model
from depara_jax.models.registry import ARCHITECTURES, build_model
from depara_jax.models.zoo import list_zoo, load_zoo_model, zoo_names
from depara_jax.spec import ModelSpec

__all__ = ["list_models", "load_model"]


def list_models(zoo: str | None = None) -> tuple[ModelSpec, ...]:
    """Every network that can be named: those of one zoo, or of all zoos and the architectures.

    Architectures have no zoo and no task; they need weights (`load_model("vgg19_bn=FILE")`).

    Raises:
      UnknownNameError: no such zoo.
    """
    if zoo is not None:
        return list_zoo(zoo)
    zoos = tuple(spec for name in zoo_names() for spec in list_zoo(name))
    return zoos + tuple(architecture.spec() for architecture in ARCHITECTURES.values())


def load_model(name: str, *, zoo: str = "mini") -> Model:
    """A model by name.

    Args:
      name: one of
        "edges": a network of `zoo`;
        "mini/edges": of the zoo before the slash;
        "vgg19_bn=path/to/weights.safetensors": an architecture with a weights file;
        "vgg19_bn=random:0": an architecture with random weights of seed 0.
      zoo: where plain names are looked up: a packaged zoo or the folder of one.

    Raises:
      UnknownNameError: no such zoo, network or architecture; the near ones are offered.
      DeparaError: an architecture without weights, or weights that do not fit it.
    """
    head, equals, weights = name.partition("=")
    if equals:
        return _architecture(head, weights)
    if "/" in name and name not in ARCHITECTURES:
        folder, _, last = name.rpartition("/")
        return load_zoo_model(last, folder)
    names = [spec.name for spec in list_zoo(zoo)]
    if name in names:
        return load_zoo_model(name, zoo)
    if name in ARCHITECTURES:
        raise DeparaError(
            f"model {name!r} is an architecture and needs weights: {name}=FILE (safetensors, npz, "
            f"pth) or {name}=random:SEED"
        )
    known = [*names, *ARCHITECTURES]
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    hint = "" if near else f"zoo {zoo!r}; `depara models` lists all"
    raise UnknownNameError("model", name, known, hint=hint)


def _architecture(name: str, weights: str) -> Model:
    if name not in ARCHITECTURES:
        raise UnknownNameError("architecture", name, ARCHITECTURES)
    kind, _, seed = weights.partition(":")
    if kind == "random":
        # int() would take other scripts' digits, and JAX's keys have 32 bits.
        if not (seed.isascii() and seed.isdecimal() and len(seed) <= 10 and int(seed) < 2**32):
            raise DeparaError(
                f"model {name}={weights}: the seed must be a whole number below 2**32, for "
                f"instance {name}=random:0"
            )
        return build_model(name, random_seed=int(seed))
    if not weights:
        raise DeparaError(f"model {name}=: names no weights file; give {name}=FILE")
    return build_model(name, weights=Path(weights).expanduser())
