"""The twenty networks and the probe images of a run, found in folders."""

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depara_jax.data import Probe, load_probe
from depara_jax.errors import DeparaError
from depara_jax.models import Model, build_model
from depara_jax.models.taskonomy import TASKS, Task
from depara_jax.weights.readers import file_sha256
from experiments.taskonomy.config import ExperimentConfig

_SUFFIXES = (".pth", ".safetensors", ".npz")
_DATA = ".data-00000-of-00001"


def find_weights(folder: Path) -> dict[str, Path]:
    """{task: weights} of all twenty tasks.

    Looks for, in this order: the ports' published names (normal_encoder-f5e2....pth), the same
    without digest, TASK.pth, .safetensors or .npz, and the TensorFlow checkpoints
    TASK/model.permanent-ckpt.

    Raises:
      DeparaError: no such folder, a task without weights (all are listed) or with two candidates.
    """
    if not folder.is_dir():
        raise DeparaError(f"weights folder {folder} does not exist")
    found, missing = {}, []
    for task in TASKS.values():
        candidates = _candidates(folder, task)
        if len(candidates) > 1:
            raise DeparaError(
                f"weights folder {folder} has {len(candidates)} files for {task.name!r}: "
                f"{', '.join(path.name for path in candidates)}; keep one"
            )
        if candidates:
            found[task.name] = candidates[0]
        else:
            missing.append(f"{task.name} ({task.torch_name}_encoder-*.pth)")
    if missing:
        raise DeparaError(
            f"weights folder {folder} lacks {len(missing)} of {len(TASKS)} encoders: "
            + ", ".join(missing)
        )
    return found


def _candidates(folder: Path, task: Task) -> list[Path]:
    named = sorted(folder.glob(f"{task.torch_name}_encoder-*"))
    stems = (f"{task.torch_name}_encoder", task.name)
    named += [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
    files = [path for path in named if path.is_file() and path.suffix in _SUFFIXES]
    checkpoint = folder / task.name / "model.permanent-ckpt"
    return files + ([checkpoint] if Path(f"{checkpoint}.index").is_file() else [])


def weights_digest(path: Path) -> str:
    """sha256 of a weights file, or of a checkpoint's data."""
    return file_sha256(path if path.is_file() else Path(f"{path}{_DATA}"))


def load_pool(weights: dict[str, Path], config: ExperimentConfig) -> list[Model]:
    """The networks in the papers' order."""
    return [_network(name, config, weights=path) for name, path in weights.items()]


def random_pool(config: ExperimentConfig, seed: int = 0) -> list[Model]:
    """Networks with random weights, for the dry run."""
    return [_network(name, config, random_seed=seed + i) for i, name in enumerate(TASKS)]


def _network(name: str, config: ExperimentConfig, **source: Any) -> Model:
    shape, task = dataclasses.asdict(config.network), TASKS[name]
    del shape["channels_in"]  # which are the task's
    return build_model(task.model, configuration=shape, input=task.input(config.size), **source)


def probe_of(folder: Path, listed: Path | None, count: int | None) -> Probe:
    """The probe images: those that a list names, or all of the folder.

    Raises:
      DeparaError: a listed image is not in the folder, or an image cannot be read.
    """
    if listed is None:
        return load_probe(folder, count=count)
    if not listed.is_file():
        raise DeparaError(f"image list {listed} does not exist")
    lines = [line for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    # Cut before the images are looked for: one of the authors' lists is far longer than they use.
    paths = list_images(lines[:count], folder, str(listed))
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as resolved:
        resolved.writelines(f"{path}\n" for path in paths)
        resolved.flush()
        return load_probe(resolved.name)


def list_images(lines: Sequence[str], folder: Path, name: str) -> list[Path]:
    """Finds the images of one of the authors' lists (explain_result/*/imlist.txt).

    Lines are relative to the data set's folder. One of their lists has absolute paths of their own
    machine: the longest tail of such a path that exists below `folder` is taken.

    Raises:
      DeparaError: with the first image that is not there, and how many.
    """
    folder = folder.resolve()
    paths, missing = [], []
    for line in filter(None, map(str.strip, lines)):
        parts = Path(line).parts
        tails = (folder.joinpath(*parts[k:]) for k in range(int(line.startswith("/")), len(parts)))
        path = next((tail for tail in tails if tail.is_file()), None)
        if path is None:
            missing.append(line)
        else:
            paths.append(path)
    if missing or not paths:
        what = f"the first is {missing[0]}" if missing else "the list is empty"
        raise DeparaError(
            f"image list {name}: {len(missing)} of {len(missing) + len(paths)} images are not "
            f"below {folder}; {what}"
        )
    return paths
