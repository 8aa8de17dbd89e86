"""The table of estimators, and the functions that run its rows.

A new estimator is one function, one row of `ESTIMATORS` and one reference value in the tests.
"""

import math
import time
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.estimators import (
    adversarial,
    features,
    gradients,
    labels,
    linear,
    mixture,
    neighbours,
    overlap,
    representation,
    subspaces,
    validate,
)
from depara_jax.estimators.evidence import logme, logme_multilabel, logme_regression
from depara_jax.estimators.inputs import Estimate, Estimator, EstimatorInputs
from depara_jax.estimators.spectrum import spectrum

__all__ = ["ESTIMATORS", "estimate", "estimate_many", "estimator_rows"]

_PREDICTED = ("probabilities", "labels")
_LABELLED = ("features", "labels")
_PAIR = ("features", "target_features")
_MODELS = ("source_model", "target_model", "images")
_ANY_ORDER = ("samples", "classes")
_RIGID = ("samples", "classes", "rotation", "translation")
_SIMILAR = ("samples", "rotation", "translation", "scale")
_LIANG = "Liang et al., arXiv 2006.14512"

# fmt: off
_ROWS = (
    # from labels and a source classifier
    Estimator(labels.leep, _PREDICTED, True, "Nguyen et al., ICML 2020", invariant=_ANY_ORDER),
    Estimator(labels.nce, _PREDICTED, True, "Tran et al., ICCV 2019", invariant=_ANY_ORDER),
    Estimator(labels.task_hardness, ("labels",), False, "Tran et al., ICCV 2019",
              invariant=_ANY_ORDER),
    Estimator(labels.energy, ("logits",), True, "Gholami et al. (ETran), ICCV 2023"),
    # from features and labels
    Estimator(mixture.nleep, _LABELLED, True, "Li et al., CVPR 2021", traceable=False,
              invariant=("classes",)),
    Estimator(labels.parc, _LABELLED, True, "Bolya et al., NeurIPS 2021",
              invariant=("samples", "classes", "scale", "translation")),
    Estimator(features.h_score, _LABELLED, True, "Bao et al., ICIP 2019", shared=True,
              invariant=(*_RIGID, "scale")),
    Estimator(features.h_score_shrinkage, _LABELLED, True, "Ibrahim et al., ECML 2022", shared=True,
              invariant=(*_RIGID, "scale")),
    Estimator(logme, _LABELLED, True, "You et al., ICML 2021", shared=True,
              invariant=("samples", "classes", "rotation")),
    Estimator(features.transrate, _LABELLED, True, "Huang et al., ICML 2022", shared=True,
              invariant=_RIGID),
    Estimator(overlap.gbc_diagonal, _LABELLED, True, "Pandy et al., CVPR 2022", invariant=_RIGID),
    Estimator(overlap.gbc_spherical, _LABELLED, True, "Pandy et al., CVPR 2022", invariant=_RIGID),
    Estimator(neighbours.knn, _LABELLED, True, "Bolya et al., NeurIPS 2021 (k = 1); k = 3 here",
              invariant=("samples", "rotation", "translation", "scale")),
    Estimator(linear.linear_probe, _LABELLED, True, "multinomial logistic, 5 folds",
              traceable=False, invariant=("rotation", "translation")),
    Estimator(linear.pactran_gaussian, _LABELLED, False, "Ding et al., ECCV 2022", traceable=False,
              invariant=_RIGID),
    Estimator(logme_multilabel, ("features", "targets"), True, "You et al., JMLR 2022", shared=True,
              invariant=("samples", "rotation")),
    Estimator(logme_regression, ("features", "targets"), True, "You et al., ICML 2021", shared=True,
              invariant=("samples", "rotation")),
    # label-free, from the features of a source and of a target model
    Estimator(representation.rsa, _PAIR, True, "Dwivedi and Roig, CVPR 2019",
              invariant=("samples", "scale")),
    Estimator(representation.cka_linear, _PAIR, True, "Kornblith et al., ICML 2019", shared=True,
              invariant=_SIMILAR),
    Estimator(representation.cka_linear_debiased, _PAIR, True, "Nguyen et al., ICLR 2021",
              invariant=_SIMILAR),
    Estimator(representation.cka_rbf, _PAIR, True, "Kornblith et al., ICML 2019",
              invariant=_SIMILAR),
    Estimator(representation.cka_rbf_debiased, _PAIR, True, "Nguyen et al., ICLR 2021",
              invariant=_SIMILAR),
    Estimator(subspaces.svcca, _PAIR, True, "Raghu et al., NeurIPS 2017", invariant=_SIMILAR),
    Estimator(subspaces.pwcca, _PAIR, True, "Morcos et al., NeurIPS 2018",
              invariant=("samples", "translation", "scale")),
    Estimator(representation.dds_cosine, _PAIR, True, "Dwivedi et al., ECCV 2020",
              invariant=("samples", "translation", "scale")),
    Estimator(representation.dds_laplacian, _PAIR, True, "Dwivedi et al., ECCV 2020",
              invariant=("samples", "translation", "scale")),
    Estimator(subspaces.procrustes, _PAIR, True, "Ding et al., NeurIPS 2021", shared=True,
              invariant=_SIMILAR),
    # label-free, from the two networks themselves
    Estimator(gradients.modelgif, _MODELS, True, "Song et al., ICCV 2023"),
    Estimator(gradients.jacobian_angle, ("gradients", "target_gradients"), False,
              "Adam et al., arXiv 1904.07980"),
    Estimator(adversarial.adversarial_alpha1, _MODELS, True, _LIANG, invariant=()),
    Estimator(adversarial.adversarial_alpha2, _MODELS, True, _LIANG, invariant=()),
    Estimator(adversarial.adversarial_tau1, _MODELS, True, _LIANG, invariant=()),
)
# fmt: on
ESTIMATORS: Mapping[str, Estimator] = MappingProxyType({row.name: row for row in _ROWS})


def estimate(
    names: str | Sequence[str],
    inputs: EstimatorInputs,
    *,
    options: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> dict[str, Estimate]:
    """Runs estimators on one source model's cached features.

    An estimator that lacks an input, or for which the quantity is undefined on this one, says so in
    its own `Estimate`; the others still run. Those that need a decomposition of the features share
    one.

    Args:
      names: one name, several, or "all".
      inputs: what is known.
      options: keyword arguments for an estimator, as {"knn": {"k": 5}}.

    Returns:
      {name: Estimate} in the order asked for.

    Raises:
      UnknownNameError: a name that is not in `ESTIMATORS`, in `names` or in `options`.
    """
    rows = estimator_rows(names)
    estimator_rows(list(options))
    return {row.name: _run(row, inputs, options.get(row.name, {})) for row in rows}


def estimate_many(
    names: str | Sequence[str], features: Any, inputs: EstimatorInputs
) -> dict[str, jax.Array]:
    """Scores a stack of layers or models of one width at once, under `jax.vmap`.

    Args:
      names: traceable estimators that need `features`.
      features: [m, n, d].
      inputs: everything else they need, shared by all m.

    Returns:
      {name: [m] values}; NaN where the quantity is undefined.

    Raises:
      DeparaError: an estimator that is not traceable, does not use features, or lacks an input.
      UnknownNameError: a name that is not in `ESTIMATORS`.
    """
    stack = jnp.asarray(features)
    if stack.ndim != 3:
        raise DeparaError(f"features: expected [models, samples, entries], got {stack.shape}")
    validate.as_matrix("features", stack.reshape(-1, stack.shape[2]))
    rows = estimator_rows(names)
    for row in rows:
        lacking = [need for need in row.missing(inputs) if need != "features"]
        if not row.traceable or "features" not in row.needs or lacking:
            reason = f"lacks {', '.join(lacking)}" if lacking else "cannot be mapped over features"
            raise DeparaError(f"{row.name}: {reason}; run estimate for each model instead")
    if inputs.labels is not None:
        validate.same_length("features", stack[0], "labels", inputs.labels)
    shared = any(row.shared for row in rows)

    def one(each: jax.Array) -> list[Any]:
        parts = spectrum(each) if shared else None
        firsts = [parts if row.shared else each for row in rows]
        return [
            row.function(first, *row.arguments(inputs, skip=1))
            for row, first in zip(rows, firsts, strict=True)
        ]

    return dict(zip([row.name for row in rows], jax.vmap(one)(stack), strict=True))


def _run(row: Estimator, inputs: EstimatorInputs, options: Mapping[str, Any]) -> Estimate:
    lacking = row.missing(inputs)
    if lacking:
        return Estimate(value=None, why="needs " + ", ".join(lacking))
    arguments, shared = row.arguments(inputs), row.shared_seconds(inputs)
    started = time.perf_counter() - shared
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            result = row.function(*arguments, **options)
            value = float(result.value if hasattr(result, "standard_error") else result)
        except DeparaError as error:
            return Estimate(value=None, seconds=time.perf_counter() - started, why=str(error))
    seconds = time.perf_counter() - started
    if not math.isfinite(value):
        return Estimate(value=None, seconds=seconds, why=f"came out as {value}")
    spread = getattr(result, "standard_error", None)
    notes = "; ".join(str(one.message) for one in caught)
    return Estimate(value=value, seconds=seconds, standard_error=spread, why=notes)


def estimator_rows(names: str | Sequence[str]) -> list[Estimator]:
    """Rows of the table by name: one, several, or "all".

    Raises:
      UnknownNameError: a name that is not in `ESTIMATORS`.
    """
    if isinstance(names, str):
        names = list(ESTIMATORS) if names == "all" else [names]
    for name in names:
        if name not in ESTIMATORS:
            raise UnknownNameError("estimator", name, ESTIMATORS)
    return [ESTIMATORS[name] for name in dict.fromkeys(names)]
