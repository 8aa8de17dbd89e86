"""Random weights and images of any size, the same for ever, and what the goldens store."""

import numpy as np


class Draw:
    """Uniform numbers on [-1, 1) by exact arithmetic.

    numpy may change how its distributions are drawn, but keeps the raw bits of a bit generator; the
    stored goldens rest on that.
    """

    def __init__(self, seed):
        self.bits = np.random.PCG64(seed)

    def __call__(self, *shape):
        """The next numbers, in that shape."""
        raw = self.bits.random_raw(int(np.prod(shape))) >> np.uint64(40)
        return (raw.astype(np.float32) * np.float32(2.0**-23) - 1).reshape(shape)


def random_state(config, seed):
    """{tensor name: array} of a VGG, with biases and running statistics that are not trivial."""
    draw, state = Draw(seed), {}

    def weight_and_bias(name, *shape):
        fan_in = int(np.prod(shape[1:]))
        # He et al., 2015, as a uniform distribution of variance 2 / fan_in.
        state[f"{name}.weight"] = draw(*shape) * np.float32((6 / fan_in) ** 0.5)
        state[f"{name}.bias"] = draw(shape[0]) * np.float32(0.1)

    n_in = 3
    for i, (kind, width) in enumerate(config.feature_modules):
        name = f"features.{i}"
        if kind == "conv":
            weight_and_bias(name, width, n_in, 3, 3)
            n_in = width
        elif kind == "norm":
            state[f"{name}.weight"] = 1 + draw(width) * np.float32(0.5)
            state[f"{name}.bias"] = draw(width) * np.float32(0.3)
            state[f"{name}.running_mean"] = draw(width) * np.float32(0.3)
            state[f"{name}.running_var"] = 1 + draw(width) * np.float32(0.5)
            state[f"{name}.num_batches_tracked"] = np.asarray(9)
    weight_and_bias("classifier.0", config.hidden, n_in * 49)
    weight_and_bias("classifier.3", config.hidden, config.hidden)
    weight_and_bias("classifier.6", config.num_classes, config.hidden)
    return state


def random_images(n, size, seed):
    """[n, size, size, 3], about as wide as normalised photographs."""
    return Draw(seed)(n, size, size, 3) * np.float32(2)


def digest(values):
    """What the goldens store of one image's array: 32 scattered entries, the mean, the length."""
    flat = np.asarray(values, np.float64).reshape(-1)
    # Multiples of an odd constant, so that the entries do not all fall on one channel.
    picked = flat[(np.arange(32) * 2654435761) % flat.size]
    return np.append(picked, [flat.mean(), np.linalg.norm(flat)]).astype(np.float32)
