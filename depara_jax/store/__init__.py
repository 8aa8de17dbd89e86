"""The store: features, graphs and vectors that survive, each under the digest of its origin."""

from depara_jax.store.artefacts import Artefact, DamagedArtefactError, Store, StoreError
from depara_jax.store.comparable import NotComparableError, check_comparable
from depara_jax.store.keys import KINDS, ArtefactKey, artefact_key, code_version, weights_digest
from depara_jax.store.maintenance import collect_garbage, verify_store
from depara_jax.store.provenance import input_digests, method_facts, provenance
from depara_jax.store.values import load_graph, save_features, save_graph, save_vector

__all__ = [
    "KINDS",
    "Artefact",
    "ArtefactKey",
    "DamagedArtefactError",
    "NotComparableError",
    "Store",
    "StoreError",
    "artefact_key",
    "check_comparable",
    "code_version",
    "collect_garbage",
    "input_digests",
    "load_graph",
    "method_facts",
    "provenance",
    "save_features",
    "save_graph",
    "save_vector",
    "verify_store",
    "weights_digest",
]
