"""The store: features, graphs and vectors that survive, each under the digest of its origin."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
