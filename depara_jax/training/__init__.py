"""Target networks and transfer from a layer: cut, train, resume.

network = network_of(source, classes)             # a chain of units
parts = cut_network(network, network.read(source), "block2", seed=0)
trained = fit(network, parts, train, Images(source.spec.input), TrainConfig(), validation=test)
"""

from depara_jax.training.cached import CachedFeatures, ChosenView, cached_features
from depara_jax.training.checkpoints import RunFolder, load_values, save_values
from depara_jax.training.config import PAPER_SCRATCH, PAPER_TRANSFER, TrainConfig
from depara_jax.training.cut import Parts, cut_network
from depara_jax.training.examples import Examples, folder_examples, tfds_examples
from depara_jax.training.loop import Trained, accuracy, fit, predict
from depara_jax.training.networks import encoder_network, network_of, vgg_network
from depara_jax.training.prepare import Images
from depara_jax.training.splits import (
    PAPER_SPLIT,
    Split,
    make_split,
    read_manifest,
    subset,
    write_manifest,
)
from depara_jax.training.units import Network, flat_values

__all__ = [
    "PAPER_SCRATCH",
    "PAPER_SPLIT",
    "PAPER_TRANSFER",
    "CachedFeatures",
    "ChosenView",
    "Examples",
    "Images",
    "Network",
    "Parts",
    "RunFolder",
    "Split",
    "TrainConfig",
    "Trained",
    "accuracy",
    "cached_features",
    "cut_network",
    "encoder_network",
    "fit",
    "flat_values",
    "folder_examples",
    "load_values",
    "make_split",
    "network_of",
    "predict",
    "read_manifest",
    "save_values",
    "subset",
    "tfds_examples",
    "vgg_network",
    "write_manifest",
]
