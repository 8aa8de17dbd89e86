"""Experiments on the public API of depara_jax; nothing in the library imports them."""
