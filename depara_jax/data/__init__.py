"""Probe images: where they come from and how each model sees them."""

from depara_jax.data.photographs import Patches, patches
from depara_jax.data.probes import Probe, ProbeSpec, load_probe

__all__ = ["Patches", "Probe", "ProbeSpec", "load_probe", "patches"]
