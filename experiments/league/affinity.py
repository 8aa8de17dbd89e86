"""From held-out losses to affinities, how reproducible they are, and which targets count.

Shapes: losses [s, n] of s sources on the same n test cases of one target (images times draws).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DegenerateError, DeparaError
from depara_jax.evaluation.correlation import spearman

__all__ = ["admitted", "agreement", "ordinal_ahp", "relative_loss", "win_rates"]

# Taskonomy clips the shares of wins before it takes their ratios.
CLIP = (0.001, 0.999)


def win_rates(losses: Float[np.ndarray, "s n"]) -> Float[np.ndarray, "s s"]:
    """Entry (i, j): the share of test cases on which source i beats j; a tie is half a win."""
    losses = np.asarray(losses)
    if losses.ndim != 2 or not np.isfinite(losses).all():
        raise DeparaError(f"win rates: expected finite losses [sources, cases], got {losses.shape}")
    rates = np.empty((len(losses), len(losses)))
    for i, row in enumerate(losses):
        rates[i] = (row < losses).mean(axis=1) + 0.5 * (row == losses).mean(axis=1)
    return rates


def ordinal_ahp(losses: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " s"]:
    """Taskonomy's affinities of one target: how much likelier each source is to win.

    The analytic hierarchy process on w_ij / w_ji, the clipped shares of wins: the principal
    eigenvector of that positive matrix, its entries summing to 1.

    References:
      Zamir et al., "Taskonomy: Disentangling Task Transfer Learning", CVPR 2018, section 3.3;
      Saaty, "The analytic hierarchy process", 1987.
    """
    rates = np.clip(win_rates(losses), *CLIP)
    values, vectors = np.linalg.eig(rates / rates.T)
    # Perron: the largest eigenvalue of a positive matrix is real, its vector of one sign.
    first = np.abs(vectors[:, np.argmax(values.real)].real)
    return first / first.sum()


def relative_loss(losses: Float[np.ndarray, " s"], control: float) -> Float[np.ndarray, " s"]:
    """What a source saves of the random-initialised encoder's loss; negative where it is worse.

    Args:
      losses: mean held-out losses of the sources.
      control: that of the random-initialised encoders.
    """
    if not control > 0:
        raise DegenerateError(f"relative loss: the control's loss is {control}, expected above 0")
    return 1.0 - np.asarray(losses) / control


def agreement(rankings: Float[np.ndarray, "k s"]) -> Float[np.ndarray, " pairs"]:
    """Spearman's correlation of every pair of k measurements of the same s sources."""
    k = len(rankings)
    pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
    return np.array([spearman(rankings[i], rankings[j]) for i, j in pairs])


def admitted(
    targets: Sequence[str],
    reproducible: Float[np.ndarray, " t"],
    own: Float[np.ndarray, " t"],
    random: Float[np.ndarray, " t"],
    *,
    least: float | None,
) -> tuple[str, ...]:
    """The targets that count.

    Args:
      targets: t names.
      reproducible: Spearman between encoder seeds of the order of their sources.
      own: loss of the target's own encoders.
      random: loss of random-initialised ones.
      least: bound on `reproducible`; None admits all.
    """
    if least is None:
        return tuple(targets)
    rows = zip(targets, reproducible, own, random, strict=True)
    return tuple(name for name, r, o, c in rows if r >= least and o < c)
