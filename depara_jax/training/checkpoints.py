"""A run's folder: what it is a run of, its metrics, its checkpoints (orbax), its result.

    run.json            the configuration; a folder with another one is refused
    metrics.jsonl       one line an epoch
    checkpoints/7/      the state after epoch 7: an item `state`, an item `about` with its digest
    weights.safetensors, result.json    when it is finished; the checkpoints then go

Orbax writes a checkpoint beside its place and renames it, so one that was being written when the
run was killed is not there at all. One that was damaged later is noticed by its digest.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.training.units import Network, Values
from depara_jax.weights.readers import read_metadata, read_tensors, write_safetensors

__all__ = ["RunFolder", "load_values", "save_values"]

KEPT = 2


class RunFolder:
    """The folder of one run; opening it checks that it is this run's."""

    def __init__(self, path: str | os.PathLike[str], description: Mapping[str, Any]):
        """Opens or makes the folder.

        Args:
          path: the folder.
          description: plain values that fix the run: data, network, source, cut, configuration.

        Raises:
          DeparaError: it is another run's folder, or holds something else.
        """
        self.path = Path(path)
        self.description = json.loads(json.dumps(description, sort_keys=True, allow_nan=False))
        self._claim()
        self._manager: Any = None

    def _claim(self) -> None:
        record = self.path / "run.json"
        if not record.is_file():
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise DeparaError(
                    f"run folder {self.path} holds something else than a run (no run.json); name a "
                    "new or an empty folder"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.description, indent=1, sort_keys=True) + "\n"
            write_atomically(record, lambda file: file.write(text.encode()))
            return
        differing = _differences(_json(record, "name another folder"), self.description)
        if differing:
            raise DeparaError(
                f"run folder {self.path} belongs to another configuration: "
                f"{'; '.join(differing[:4])}; name another folder, or delete it to start anew"
            )

    @property
    def result(self) -> dict[str, Any] | None:
        """What a finished run left, else None.

        Raises:
          DeparaError: the file is damaged.
        """
        path = self.path / "result.json"
        return _json(path, "delete it to run anew") if path.is_file() else None

    def record(self, row: Mapping[str, Any]) -> None:
        """Appends one line of metrics."""
        with open(self.path / "metrics.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row, allow_nan=False) + "\n")

    def save(self, epoch: int, state: Any) -> None:
        """Writes a checkpoint, whole or not at all; the last two are kept."""
        import orbax.checkpoint as ocp

        about = {"digest": tree_digest(state), "shapes": _shapes(state)}
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), about=ocp.args.JsonSave(about)
        )
        self._checkpoints().save(epoch, args=items)

    def restore(self, like: Any) -> tuple[int, Any, list[dict[str, Any]]] | None:
        """The last checkpoint: (epochs done, state, metrics up to there); None without one.

        Metrics of epochs after the checkpoint are dropped; those epochs are run again.

        Raises:
          DeparaError: it is damaged, or of another network than `like`.
        """
        import orbax.checkpoint as ocp

        manager = self._checkpoints()
        epoch = manager.latest_step()
        if epoch is None:
            self._keep_metrics(0)
            return None
        name = self.path / "checkpoints" / str(epoch)
        hint = "delete that folder to go on from the checkpoint before it"
        try:
            about = manager.restore(epoch, args=ocp.args.Composite(about=ocp.args.JsonRestore()))
            about = about["about"]
            shapes, digest = about["shapes"], about["digest"]
        except Exception as error:  # noqa: BLE001 - orbax and its stores have no common base
            raise _damaged(name, error, hint) from error
        if shapes != _shapes(like):
            differing = _differences(shapes, _shapes(like))
            raise DeparaError(
                f"checkpoint {name} is of another network: {'; '.join(differing[:3])}; {hint}"
            )
        template = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), like)
        try:
            items = ocp.args.Composite(state=ocp.args.StandardRestore(template))
            state = manager.restore(epoch, args=items)["state"]
        except Exception as error:  # noqa: BLE001 - the same
            raise _damaged(name, error, hint) from error
        if tree_digest(state) != digest:
            raise DeparaError(f"checkpoint {name} is damaged (its digest differs); {hint}")
        # Orbax gives back plain containers; the optimiser's are named tuples.
        state = jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(state))
        return epoch, state, self._keep_metrics(epoch)

    def finish(
        self,
        result: Mapping[str, Any],
        *,
        network: Network | None = None,
        values: Values | None = None,
    ) -> None:
        """Ends the run: the weights if they are given, the result, and no more checkpoints.

        Args:
          result: plain values.
          network: with `values`: what they belong to.
          values: of the trained network.
        """
        if network is not None and values is not None:
            save_values(self.path / "weights.safetensors", network, values)
        text = json.dumps(result, indent=1, allow_nan=False) + "\n"
        write_atomically(self.path / "result.json", lambda file: file.write(text.encode()))
        if self._manager is not None:
            self._manager.close()
            self._manager = None
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def _keep_metrics(self, epochs: int) -> list[dict[str, Any]]:
        """Cuts the metrics after that epoch; a line that was cut short is after it."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        kept = lines[:epochs]
        try:
            rows = [json.loads(line) for line in kept]
            if [row["epoch"] for row in rows] != list(range(1, epochs + 1)):
                raise ValueError(f"they are not those of epochs 1 to {epochs}")
        except (ValueError, KeyError, TypeError) as error:
            raise DeparaError(f"{path} is damaged ({error}); delete the run's folder") from error
        if lines != kept:
            text = "".join(f"{line}\n" for line in kept)
            write_atomically(path, lambda file: file.write(text.encode()))
        return rows

    def _checkpoints(self) -> Any:
        import orbax.checkpoint as ocp

        if self._manager is None:
            options = ocp.CheckpointManagerOptions(
                max_to_keep=KEPT, enable_async_checkpointing=False, create=True
            )
            folder = (self.path / "checkpoints").absolute()
            self._manager = ocp.CheckpointManager(folder, options=options)
        return self._manager


def _json(path: Path, hint: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeparaError(f"{path} is not JSON ({error}); {hint}") from error


def _damaged(name: Path, error: Exception, hint: str) -> DeparaError:
    reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0][:160]
    return DeparaError(f"checkpoint {name} is truncated or damaged ({reason}); {hint}")


def tree_digest(tree: Any) -> str:
    """sha256 of all arrays of a pytree, in their order."""
    total = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.ascontiguousarray(leaf)
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _shapes(tree: Any) -> dict[str, str]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    """Where two nested dictionaries differ: "config.epochs is 3, not 5"."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            line
            for key in sorted({*old, *new})
            for line in _differences(
                old.get(key), new.get(key), f"{prefix}.{key}" if prefix else key
            )
        ]
    return [] if old == new else [f"{prefix} is {json.dumps(old)}, not {json.dumps(new)}"]


def save_values(path: str | os.PathLike[str], network: Network, values: Values) -> None:
    """Writes a network's values as safetensors, with its name."""
    write_safetensors(path, values, {"network": network.name})


def load_values(path: str | os.PathLike[str], network: Network) -> dict:
    """Values that `save_values` wrote.

    Args:
      path: the file.
      network: which they must fit.

    Raises:
      DeparaError: the file is truncated, or of another architecture.
    """
    values = read_tensors(path)
    made = read_metadata(path).get("network", "an unknown network")
    network.check(values, f"checkpoint {path} ({made})")
    return {name: jnp.asarray(value) for name, value in values.items()}
