"""Whether two results may be set side by side, by what their provenance says."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.recipe import without_removed

__all__ = ["COMPARED", "NotComparableError", "check_comparable", "differences"]

# What numbers depend on. Host, devices, time, versions and command are not among it: XLA's last
# digits differ between machines, what is measured does not.
COMPARED = (
    "target", "source", "estimator", "recipe", "probe", "dtype", "preprocessing", "weights", "code"
)  # fmt: skip
# Parts of what is said of each network.
_OF_NETWORKS = ("preprocessing", "weights")


class NotComparableError(DeparaError):
    """Two results whose numbers mean different things."""


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, str]:
    """What makes two results incomparable: {one of `COMPARED`: how it differs}.

    A recipe's name is a label and does not count. Of networks those are compared that both have.

    Args:
      ours: the provenance of one result.
      theirs: of the other.
    """
    found = {}
    for name in COMPARED:
        if name in _OF_NETWORKS:
            reason = _networks(ours, theirs, name)
        elif name == "recipe":
            reason = _recipes(ours.get(name), theirs.get(name))
        else:
            reason = _values(ours.get(name), theirs.get(name))
        if reason:
            found[name] = reason
    return found


def check_comparable(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("one", "the other"),
    allow: Collection[str] = (),
) -> dict[str, str]:
    """Refuses two results that are not comparable.

    Args:
      ours: the provenance of one result, as `provenance` with `method_facts` makes it.
      theirs: of the other.
      names: what messages call them.
      allow: which of `COMPARED` may differ, where that is what is to be seen.

    Returns:
      The differences that were allowed.

    Raises:
      NotComparableError: they differ in something else; the message has all of it.
      UnknownNameError: `allow` names something that is not compared.
    """
    for name in allow:
        if name not in COMPARED:
            raise UnknownNameError("thing that may differ", name, COMPARED)
    found = differences(ours, theirs)
    refused = {name: reason for name, reason in found.items() if name not in allow}
    if refused:
        listed = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
        raise NotComparableError(f"{names[0]} and {names[1]} are not comparable ({listed})")
    return found


def _values(ours: Any, theirs: Any) -> str:
    return "" if ours == theirs else f"{_shown(ours)} and {_shown(theirs)}"


def _recipes(ours: Any, theirs: Any) -> str:
    if not (isinstance(ours, Mapping) and isinstance(theirs, Mapping)):
        return _values(ours, theirs)
    ours, theirs = without_removed(ours), without_removed(theirs)
    fields = sorted((ours.keys() | theirs.keys()) - {"name"})
    return _listed((field, _values(ours.get(field), theirs.get(field))) for field in fields)


def _networks(ours: Mapping[str, Any], theirs: Mapping[str, Any], part: str) -> str:
    ours, theirs = ours.get("networks") or {}, theirs.get("networks") or {}
    common = [name for name in ours if name in theirs]
    return _listed((n, _values(ours[n].get(part), theirs[n].get(part))) for n in common)


def _listed(parts: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} {reason}" for name, reason in parts if reason)


def _shown(value: Any) -> str:
    """A value in a message: digests by their first digits."""
    text = str(value)
    if isinstance(value, str) and len(value) == 64:
        return value[:12]
    return text if len(text) <= 60 else text[:57] + "..."
