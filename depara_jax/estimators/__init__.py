"""Other transferability estimators beside DEPARA, on the same cached features: one table, one door.

    inputs = EstimatorInputs(features=features, labels=labels)
    estimate(["logme", "knn"], inputs)["logme"].value

The rows and what runs them are in `estimators.table`.
"""

import lazy_loader

# Functions of the same name as their module: bound before the module alone can be.
from depara_jax.estimators.evidence import evidence as evidence
from depara_jax.estimators.spectrum import spectrum as spectrum

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
