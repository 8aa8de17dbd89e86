"""Target networks and transfer from a layer: cut, train, resume.

network = network_of(source, classes)             # a chain of units
parts = cut_network(network, network.read(source), "block2", seed=0)
trained = fit(network, parts, train, Images(source.spec.input), TrainConfig(), validation=test)
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
