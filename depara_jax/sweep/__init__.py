"""Sweeps: models x layers x recipes x probe sets into a store, whatever happens on the way."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
