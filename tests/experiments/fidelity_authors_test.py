"""The authors' layer selection against what their own scripts gave (tests/golden)."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from depara_jax.models.port import convert, port_model, port_spec
from depara_jax.models.vgg import VGG, schemes
from experiments.fidelity.authors import layer_rows
from tests.golden.authors_walks_cases import CASES, ROLES
from tests.references.vgg_state import random_state

GOLDEN = Path(__file__).parents[1] / "golden" / "authors_walks.json"
SHARED = Path(os.environ.get("DEPARA_SHARED", "nowhere"))


def networks(case):
    """{role: model}."""
    models = {}
    for seed, role in enumerate(ROLES):
        weights = random_state(case.config, seed=seed)
        variables = convert(VGG, case.config, schemes(case.config), weights)
        spec = port_spec(case.config, name=role, input=case.input)
        models[role] = port_model(VGG, case.config, variables=variables, spec=spec)
    return models


@pytest.mark.parametrize(
    "name",
    [
        "photographs",
        pytest.param(
            "syn2real",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(not SHARED.is_dir(), reason="no DEPARA_SHARED"),
            ],
        ),
    ],
)
def test_rows_are_those_that_the_authors_scripts_print(name, tmp_path):
    case, golden = CASES[name], json.loads(GOLDEN.read_text())[name]
    probe, models = case.probe(SHARED, tmp_path), networks(case)
    target, source, imagenet = models.values()
    found = {
        "source": layer_rows([target], [source], probe),
        "imagenet": layer_rows([target, imagenet], [source, imagenet], probe),
    }
    for kind, (node, edge) in found.items():
        # float32 gradients by two frameworks; edges' ranks differ nowhere.
        np.testing.assert_allclose(node, golden[kind]["V"], atol=3e-5)
        np.testing.assert_allclose(edge, golden[kind]["E"], atol=2e-7)
