"""Timing scripts: one JSON line each."""
