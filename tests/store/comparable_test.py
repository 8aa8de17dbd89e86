"""Which differences of provenance make two results incomparable, and which do not."""

import pytest

from depara_jax.errors import UnknownNameError
from depara_jax.recipe import RECIPES
from depara_jax.store import NotComparableError, check_comparable, method_facts, provenance
from depara_jax.store.comparable import COMPARED, differences
from tests.networks import model

PAPER = RECIPES["paper"]


def origin(recipe=PAPER, probe="p" * 64, **changes) -> dict:
    facts = method_facts(recipe, probe, [model(0), model(1)])
    return provenance({"target": "m0:answer", **facts}) | changes


def test_host_devices_time_command_and_a_label_do_not_count():
    elsewhere = origin(
        PAPER.replace(name="mine"), host="another", devices={"platform": "gpu"}, command="x",
        time="1970-01-01T00:00:00+00:00", seconds=7, versions={"jax": "0.1"},
    )  # fmt: skip
    assert check_comparable(origin(), elsewhere) == {}


def test_switches_that_recipes_had_and_that_were_off_do_not_count():
    earlier = PAPER.to_dict() | {"accumulate": "off", "relu_alias": False}
    assert differences(origin(), origin() | {"recipe": earlier}) == {}
    changed = {"recipe": earlier | {"accumulate": "layers"}}
    assert differences(origin(), origin() | changed) == {"recipe": "accumulate None and layers"}


CASES = {
    "target": {"target": "m1:answer"},
    "source": {"source": "m5"},
    "estimator": {"estimator": "logme"},
    "recipe": {"recipe": PAPER.replace(lam=0.25, grid=8).to_dict()},
    "probe": {"probe": "q" * 64},
    "dtype": {"dtype": "bfloat16"},
    "code": {"code": "0.0.1+abc"},
}


@pytest.mark.parametrize("name", CASES)
def test_what_numbers_depend_on_is_refused_by_name(name):
    changed = origin() | CASES[name]
    with pytest.raises(NotComparableError, match=rf"A and B are not comparable \({name}: "):
        check_comparable(origin(), changed, names=("A", "B"))
    assert set(check_comparable(origin(), changed, allow=[name])) == {name}


@pytest.mark.parametrize(("part", "value"), [("weights", "f" * 64), ("preprocessing", {"size": 8})])
def test_other_networks_under_one_name_are_refused(part, value):
    changed = origin()
    first = next(iter(changed["networks"]))
    changed["networks"] = changed["networks"] | {
        first: changed["networks"][first] | {part: value},
        "only there": {"weights": "e" * 64, "preprocessing": {}},
    }
    assert set(differences(origin(), changed)) == {part}
    assert first in differences(origin(), changed)[part]


def test_all_differences_are_told_and_all_must_be_allowed():
    changed = origin(PAPER.replace(lam=0.25, grid=8), "q" * 64)
    with pytest.raises(NotComparableError) as refusal:
        check_comparable(origin(), changed)
    for part in ("grid None and 8", "lam 1.0 and 0.25", "probe: pppppppppppp and qqqqqqqqqqqq"):
        assert part in str(refusal.value)
    with pytest.raises(NotComparableError, match=r"\(probe: "):
        check_comparable(origin(), changed, allow=["recipe"])
    assert set(check_comparable(origin(), changed, allow=["recipe", "probe"])) <= set(COMPARED)


def test_a_result_without_provenance_differs_in_what_it_does_not_say():
    assert {"recipe", "probe", "code"} <= set(differences(origin(), {}))


def test_only_what_is_compared_can_be_allowed():
    with pytest.raises(UnknownNameError, match="did you mean 'recipe'"):
        check_comparable({}, {}, allow=["recipes"])
