"""Weight files as flat dictionaries of numpy arrays, under the names that the file gives them."""

import contextlib
import hashlib
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from depara_jax.errors import DeparaError
from depara_jax.files import write_atomically
from depara_jax.weights.graph_format import graph_tensors
from depara_jax.weights.tf_checkpoint import is_tf_checkpoint, read_tf_checkpoint

__all__ = ["READERS", "file_sha256", "read_metadata", "read_tensors", "write_safetensors"]

Tensors = dict[str, np.ndarray]

_CHUNK = 1 << 24


def read_tensors(path: str | os.PathLike[str]) -> Tensors:
    """Reads every tensor of a weights file.

    The suffix names the format: .safetensors, .npz (named arrays, or the graph format of
    `graph_format`), .pth, .pt or .th (which need PyTorch), or Keras's .h5 (which needs h5py). A
    prefix of several files is a TensorFlow checkpoint, whose variables are read when they are
    looked at. No format may run code: pickles that hold anything but tensors are refused. bfloat16
    comes back as float32, which holds it exactly; every other dtype is kept.

    Args:
      path: the file, or a checkpoint's prefix.

    Returns:
      {tensor name: array}, in the file's order.

    Raises:
      DeparaError: the file is missing, truncated, of another format, empty, would run code, or
        holds a NaN or an infinity (the tensors are named; of a checkpoint they are not looked at).
    """
    if is_tf_checkpoint(path):
        return read_tf_checkpoint(path)
    path = _existing(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DeparaError(
            f"weights file {path}: unknown format {path.suffix!r}; expected {', '.join(READERS)}"
        )
    tensors = reader(path)
    if not tensors:
        raise DeparaError(f"weights file {path} holds no tensors")
    _refuse_non_finite(tensors, path)
    return tensors


def write_safetensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes arrays as safetensors; a reader sees the old file or the whole new one, never a part.

    Args:
      path: file to make or replace; its folder must exist.
      tensors: {name: numpy or JAX array}.
      metadata: text kept in the header, e.g. where the tensors come from; see `read_metadata`.

    Raises:
      DeparaError: there are no tensors, or the folder does not exist or cannot be written.
    """
    import safetensors.numpy

    path = Path(path)
    if not tensors:
        raise DeparaError(f"weights file {path} is not written: there are no tensors")
    # safetensors writes the memory of a strided array as it lies, hence order="C".
    arrays = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    try:
        content = safetensors.numpy.save(arrays, metadata=dict(metadata or {}))
    except safetensors.SafetensorError as error:
        raise DeparaError(f"cannot write weights file {path}: {error}") from error
    write_atomically(path, lambda file: file.write(content))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that `write_safetensors` put into a file's header.

    Raises:
      DeparaError: the file is missing or not safetensors.
    """
    import safetensors

    path = _existing(path)
    with _readable(path, "safetensors"), safetensors.safe_open(path, framework="np") as file:
        return dict(file.metadata() or {})


def file_sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces.

    Raises:
      DeparaError: the file is missing.
    """
    with open(_existing(path), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.is_dir():
        raise DeparaError(f"weights file {path} is a folder; name the file inside it")
    if not path.is_file():
        raise DeparaError(f"weights file {path} does not exist")
    return path


@contextlib.contextmanager
def _readable(path: Path, kind: str) -> Iterator[None]:
    """Turns whatever a format's own reader raises on a bad file into one line with its name."""
    try:
        yield
    except DeparaError:
        raise
    except Exception as error:  # noqa: BLE001 - zip, zlib, pickle and header errors have no common base
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200].rstrip(": ")
        raise DeparaError(
            f"weights file {path} is not a complete {kind} file ({reason}); "
            "fetch it again or check its format"
        ) from error


def _read_safetensors(path: Path) -> Tensors:
    import safetensors.numpy

    with _readable(path, "safetensors"):
        return {
            name: value.astype(np.float32) if value.dtype == ml_dtypes.bfloat16 else value
            for name, value in safetensors.numpy.load_file(path).items()
        }


def _read_npz(path: Path) -> Tensors:
    with _readable(path, ".npz"):
        if not zipfile.is_zipfile(path):
            raise ValueError("it is not an archive of named arrays")
        tensors = {}
        with np.load(path, allow_pickle=False) as file:
            for name in file.files:
                try:
                    tensors[name] = file[name]
                except ValueError as error:
                    if "allow_pickle" not in str(error):
                        raise
                    raise DeparaError(_would_run_code(path, f"object array {name!r}")) from error
        if "graph" in tensors:
            return graph_tensors(tensors, source=f"weights file {path}")
        return tensors


def _read_torch(path: Path) -> Tensors:
    try:
        import torch
    except ImportError as error:
        raise DeparaError(
            f"weights file {path}: reading {path.suffix} needs PyTorch; "
            "pip install 'depara-jax[torch]', or convert the file to .safetensors"
        ) from error
    import pickle

    with _readable(path, "PyTorch"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch remarks on old pickle protocols
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            if not _is_pickle(path):
                raise ValueError("it is not a PyTorch checkpoint") from error
            found = re.search(r"GLOBAL (\S+)", str(error))
            what = found.group(1) if found else "something other than tensors"
            raise DeparaError(_would_run_code(path, what)) from error
        state = _state_dict(loaded, path)
        return {
            name: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
            for name, value in state.items()
        }


def _read_keras(path: Path) -> Tensors:
    """Keras's HDF5 files: "layer/kernel", as Keras names them, whatever groups they lie in."""
    try:
        import h5py
    except ImportError as error:
        raise DeparaError(
            f"weights file {path}: reading .h5 needs h5py; pip install 'depara-jax[keras]', or "
            "convert the file to .safetensors"
        ) from error
    tensors: Tensors = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and not name.startswith("optimizer_weights/"):
            tensors[_keras_name(name)] = np.asarray(item)

    with _readable(path, "HDF5"), h5py.File(path, "r") as file:
        if "_layer_checkpoint_dependencies" in file or "layers" in file:
            raise DeparaError(
                f"weights file {path} is a Keras 3 .weights.h5, whose tensors have numbers instead "
                "of layer names; save the whole model as .h5: model.save('model.h5')"
            )
        file.visititems(visit)
    return tensors


def _keras_name(path: str) -> str:
    """The layer and the variable: "conv1/kernel" of "model_weights/conv1/conv1/kernel:0"."""
    parts = path.removeprefix("model_weights/").split(":")[0].split("/")
    return f"{parts[0]}/{parts[-1]}"


def _is_pickle(path: Path) -> bool:
    """Whether the file is, or wraps, a pickle of protocol 2 or later."""
    with open(path, "rb") as file:
        return file.read(1) == b"\x80" or zipfile.is_zipfile(file)


def _state_dict(loaded: Any, path: Path) -> dict[str, Any]:
    """Unwraps {"state_dict": ...}; drops the "module." that data-parallel training prepends."""
    import torch

    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping):
        raise DeparaError(
            f"weights file {path} holds a {type(loaded).__name__}, not a dictionary of tensors"
        )
    strange = sorted(str(k) for k, v in loaded.items() if not isinstance(v, torch.Tensor))
    if strange:
        shown = ", ".join(strange[:10]) + (", ..." if len(strange) > 10 else "")
        raise DeparaError(
            f"weights file {path}: {len(strange)} entries are not tensors ({shown}); save the "
            'state dictionary alone, or under the key "state_dict"'
        )
    if all(str(name).startswith("module.") for name in loaded):
        return {str(name).removeprefix("module."): value for name, value in loaded.items()}
    return {str(name): value for name, value in loaded.items()}


def _would_run_code(path: Path, what: str) -> str:
    return (
        f"weights file {path} is refused: it holds {what}, and unpickling it could run code; "
        "save the tensors alone, or convert the file to .safetensors"
    )


def _refuse_non_finite(tensors: Tensors, path: Path) -> None:
    bad = sorted(name for name, value in tensors.items() if not _is_finite(value))
    if bad:
        shown = ", ".join(bad[:10]) + (f", and {len(bad) - 10} more" if len(bad) > 10 else "")
        raise DeparaError(
            f"weights file {path}: NaN or infinity in {len(bad)} of {len(tensors)} tensors: {shown}"
        )


def _is_finite(value: np.ndarray) -> bool:
    if not np.issubdtype(value.dtype, np.inexact):
        return True
    flat = value.reshape(-1)
    # In pieces: the boolean of a 400 MB tensor is 100 MB more.
    return all(np.isfinite(flat[k : k + _CHUNK]).all() for k in range(0, flat.size, _CHUNK))


READERS: Mapping[str, Callable[[Path], Tensors]] = {
    ".safetensors": _read_safetensors,
    ".npz": _read_npz,
    **dict.fromkeys((".pth", ".pt", ".th"), _read_torch),
    ".h5": _read_keras,
}
