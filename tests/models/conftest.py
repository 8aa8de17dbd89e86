"""Converted weights of tests are kept apart from the user's."""

import pytest


@pytest.fixture(autouse=True)
def weights_cache(tmp_path, monkeypatch):
    folder = tmp_path / "weights_cache"
    monkeypatch.setattr("depara_jax.weights.cache.cache_folder", lambda: folder)
    return folder
