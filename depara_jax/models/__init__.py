"""Networks: the model contract, the architectures and the packaged zoos.

Importing this package costs what the contract costs; Flax is imported when a network is named.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
