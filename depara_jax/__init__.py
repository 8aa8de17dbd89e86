"""Which pretrained network, and which of its layers, to transfer from.

Deep attribution graphs (DEPARA, CVPR 2020; "Deep Model Transferability from Attribution Maps",
NeurIPS 2019) in JAX. The stages, in the order in which data moves:

    load_probe  load_model  attribute  build_graph  graph_similarity  rank_models  rank_layers

`rank_models` and `rank_layers` run all of them.
"""

import lazy_loader

__version__ = "0.1.0"

# `__init__.pyi` lists the public names, once, for this and for type checkers; a module is imported
# when one of its names is first used, so that `import depara_jax` costs nothing.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
