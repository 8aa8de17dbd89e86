"""A labelled image set, split once: what is trained on, tested on and looked at without labels."""

import dataclasses
from collections.abc import Mapping
from functools import cached_property

import numpy as np

from depara_jax.data import Probe
from depara_jax.training import Examples, Split, subset


@dataclasses.dataclass(frozen=True, eq=False)
class Domain:
    """Images with labels in parts.

    Attributes:
      name: of the set.
      examples: all of it.
      split: into parts; one is called "train".
      sizes: names of data sizes, and their shares of the training part.
      probe_part: the part that probe images are from.
      probe_images: how many, or all that there are.
    """

    name: str
    examples: Examples
    split: Split
    sizes: Mapping[str, float]
    probe_part: str
    probe_images: int

    def rows(self, name: str) -> np.ndarray:
        """Rows of a part, or of a data size's subset of the training part."""
        if name in self.sizes:
            return subset(self.split, "train", self.sizes[name])
        return self.split.parts[name]

    def part(self, name: str) -> Examples:
        """The images of a part or of a data size."""
        return self.examples.subset(self.rows(name))

    @cached_property
    def probe(self) -> Probe:
        """Images of all classes; their labels are not used."""
        share = self.probe_images / len(self.split.parts[self.probe_part])
        rows = subset(self.split, self.probe_part, min(1.0, share))
        return Probe.from_arrays(self.examples.take(rows), [self.examples.ids[r] for r in rows])
