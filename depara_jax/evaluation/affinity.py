"""From measured losses to affinities: who beats whom, and Taskonomy's ordinal affinity.

Shapes: losses [s, n] of s sources on the same n test cases of one target.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

from depara_jax.errors import DeparaError

__all__ = ["ordinal_ahp", "win_rates"]

# Taskonomy clips the shares of wins before it takes their ratios.
CLIP = (0.001, 0.999)


def win_rates(losses: Any) -> Float[np.ndarray, "s s"]:
    """How often each source beats each other one.

    Args:
      losses: [s, n], lower is better.

    Returns:
      [s, s], entry (i, j) the share of test cases on which source i beats j; a tie is half a win.

    Raises:
      DeparaError: no matrix, no test case, or losses that are not finite.
    """
    losses = np.asarray(losses)
    if losses.ndim != 2 or not losses.size or not np.isfinite(losses).all():
        raise DeparaError(f"win rates: expected finite losses [sources, cases], got {losses.shape}")
    beaten = [(row < losses).mean(axis=1) + 0.5 * (row == losses).mean(axis=1) for row in losses]
    return np.stack(beaten)


def ordinal_ahp(losses: Any) -> Float[np.ndarray, " s"]:
    """Taskonomy's affinities of one target by the analytic hierarchy process.

    With w_ij the share of test cases on which source i beats j, clipped to [.001, .999], it is the
    principal eigenvector of the positive matrix w_ij / w_ji, scaled to sum to 1: how much likelier
    each source is to win.

    Args:
      losses: [s, n], lower is better.

    Returns:
      [s], higher is better: a row of what `GroundTruth.from_affinity` takes.

    Raises:
      DeparaError: as for `win_rates`.

    References:
      Zamir et al., "Taskonomy: Disentangling Task Transfer Learning", CVPR 2018, section 3.3;
      Saaty, "The analytic hierarchy process", 1987.
    """
    rates = np.clip(win_rates(losses), *CLIP)
    values, vectors = np.linalg.eig(rates / rates.T)
    # Perron: the largest eigenvalue of a positive matrix is real, its vector of one sign.
    first = np.abs(vectors[:, np.argmax(values.real)].real)
    return first / first.sum()
