"""Random images of any size, the same for ever, and what the goldens store of an output."""

import numpy as np

from experiments.benchmarks.peers.vgg_state import Draw


def random_images(n, size, seed):
    """[n, size, size, 3], about as wide as normalised photographs."""
    return Draw(seed)(n, size, size, 3) * np.float32(2)


def digest(values):
    """What the goldens store of one image's array: 32 scattered entries, the mean, the length."""
    flat = np.asarray(values, np.float64).reshape(-1)
    # Multiples of an odd constant, so that the entries do not all fall on one channel.
    picked = flat[(np.arange(32) * 2654435761) % flat.size]
    return np.append(picked, [flat.mean(), np.linalg.norm(flat)]).astype(np.float32)
