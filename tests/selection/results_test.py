"""What comparisons give back: the same terms, rows and dictionaries from each, and short reprs."""

import json

import numpy as np
import pytest
import scipy.stats

from depara_jax import graph_similarity, similarity_matrix
from depara_jax.errors import DeparaError
from depara_jax.evaluation import choice_certainty
from depara_jax.graph.rows import competition_ranks
from depara_jax.recipe import RECIPES
from depara_jax.selection import (
    Ranking,
    attribution_graphs,
    compare_models,
    rank_by_estimators,
    rank_layers,
    rank_models,
)
from depara_jax.spec import LayerRef
from tests import networks

PAPER = RECIPES["paper"]
TERMS = ("score", "node", "edge")
PROBE = {"source": "here", "images": 4, "fingerprint": "f"}


@pytest.fixture(scope="module")
def models():
    return [networks.model(seed) for seed in range(3)]


@pytest.fixture(scope="module")
def results(models):
    probe = networks.probe(6)
    graphs = [attribution_graphs(model, probe, PAPER)["answer"] for model in models]
    return {
        "models": rank_models(models[0], models[1:], probe, PAPER),
        "layers": rank_layers(models[0], models[1], probe, PAPER),
        "pairs": compare_models(models, probe, PAPER),
        "estimators": rank_by_estimators(
            models[0], models[1:], probe, ["depara", "rsa"], recipe=PAPER
        ),
        "pair": graph_similarity(graphs[0], graphs[1]),
        "matrix": similarity_matrix(graphs),
        "graph": graphs[0],
        "probe": probe,
        "model": models[0],
    }


def ranking_of(scores, **changes):
    scores = np.asarray(scores, float)
    names = tuple(f"m{i}" for i in range(len(scores)))
    return Ranking("model", LayerRef("t", "top"), names, scores, scores, None, PAPER, PROBE)


@pytest.mark.parametrize("name", ["models", "layers", "pairs", "estimators", "pair", "matrix"])
def test_every_comparison_has_the_same_terms_and_rows(results, name):
    result = results[name]
    rows = result.rows()
    assert [row["rank"] for row in rows] == sorted(row["rank"] for row in rows)
    for row in rows:
        assert row["score"] == pytest.approx(row["node"] + row["edge"], abs=1e-6)
    for term in TERMS:
        values = sorted({round(row[term], 6) for row in rows})
        found = {round(float(v), 6) for v in np.ravel(np.asarray(getattr(result, term)))}
        assert set(values) <= found
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    json.dumps(result.to_dict(), allow_nan=False)


@pytest.mark.parametrize("name", ["models", "layers", "estimators"])
def test_rankings_say_what_they_are_of_in_the_same_words(results, name):
    content = results[name].to_dict()
    assert content["target"] == {"model": "net0", "layer": "answer"}
    assert content["recipe"] == PAPER.to_dict()
    probe = results["probe"]
    facts = {"source": "it", "images": len(probe), "fingerprint": probe.fingerprint}
    assert content["probe"] == facts
    assert set(content["probe"]) == {"source", "images", "fingerprint"}
    kind = content["kind"]
    assert set(content["ranking"][0]) == {"rank", kind, *TERMS}
    assert content["best"] == content["ranking"][0][kind]
    assert set(content["names"]) == {row[kind] for row in content["ranking"]}
    assert content.get("source") == ("net1" if kind == "layer" else None)


def test_an_estimator_that_ranks_gives_its_values_as_scores(models):
    table = rank_by_estimators(models[0], models[1:], networks.probe(6), ["rsa", "depara"])
    content = table.to_dict()
    values = content["estimators"]["rsa"]["models"]
    assert content["ranked_by"] == "rsa"
    for row in content["ranking"]:
        assert row["score"] == values[row["model"]]["value"]
        assert (row["node"], row["edge"]) == (None, None)


def test_pairs_are_named_by_their_models(results):
    pairs = results["pairs"]
    for row in pairs.rows():
        i, j = (pairs.names.index(name) for name in row["models"])
        assert i < j
        assert row["score"] == pytest.approx(float(pairs.score[i, j]))
    assert len(pairs.rows()) == 3
    assert np.shape(pairs.to_dict()["edge"]) == (3, 3)


def test_ranks_are_made_once_for_all_rows(monkeypatch):
    calls, rankdata = [], scipy.stats.rankdata

    def counted(*args, **options):
        calls.append(args)
        return rankdata(*args, **options)

    monkeypatch.setattr(scipy.stats, "rankdata", counted)
    scores = np.arange(1000) // 3
    ranking = ranking_of(scores)
    rows = ranking.rows()
    assert len(calls) == 1
    assert len(ranking.ties) == 333
    assert len(calls) == 1
    want = {f"m{i}": int((scores > s).sum()) + 1 for i, s in enumerate(scores)}
    assert {row["model"]: row["rank"] for row in rows} == want
    assert [row["model"] for row in rows[:3]] == ["m999", "m996", "m997"]  # ties as given


def test_ranks_in_either_direction_and_without_a_value():
    values = np.array([3.0, 1.0, 3.0, np.nan])
    assert competition_ranks(values) == (1, 3, 1, None)
    assert competition_ranks(values, higher_is_better=False) == (2, 1, 2, None)
    assert competition_ranks(np.full(2, np.nan)) == (None, None)


def test_reprs_are_short_and_say_what_it_is(results):
    assert "3 layers" in repr(results["model"])
    assert "net0" in repr(results["graph"])
    certainty = choice_certainty(results["layers"], resamples=50)
    shown = {name: value for name, value in results.items() if name not in ("pair", "matrix")}
    for value in (*shown.values(), certainty):
        assert len(repr(value)) < 500, repr(value)
    assert "best" in repr(results["models"])
    assert len(repr(networks.probe(300))) < 200


def test_certainty_needs_what_the_ranking_kept(results):
    with pytest.raises(DeparaError, match="ranking of models did not keep a term"):
        choice_certainty(results["models"])
    found = choice_certainty(results["layers"], resamples=50)
    assert found.names == results["layers"].names
    content = found.to_dict()
    assert list(content["layers"]) == list(found.names)
    assert found.best not in content["rivals"]
    json.dumps(content, allow_nan=False)
