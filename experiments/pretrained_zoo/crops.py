"""What putting maps back at their place does: networks whose inputs are cropped differently.

DEPARA_SHARED=FOLDER python -m experiments.pretrained_zoo.crops
"""

import dataclasses
import json
import sys

import numpy as np
from PIL import Image

import depara_jax
from depara_jax.models import Model
from experiments.pretrained_zoo.config import HERE
from experiments.pretrained_zoo.images import probe_images

NETWORK, IMAGES, GRID = "mnv1_025", 24, 32
RESIZES = (128, 146, 160)  # the crop of 128 is all, 88% and 80% of the photograph's short side


def main() -> int:
    """Prints one network's similarity to itself, seen through three crops, with and without."""
    model = depara_jax.load_model(NETWORK, zoo=str(HERE / "zoo.toml"))
    models = [_cropped(model, resize) for resize in RESIZES]
    probe = depara_jax.Probe.from_arrays(
        np.stack([_square(image) for image in probe_images(IMAGES)])
    )
    recipe = depara_jax.RECIPES["default"].replace(lam=0.0, grid=GRID)
    graphs = [depara_jax.attribution_graphs(m, probe, recipe)[m.spec.encoder] for m in models]
    found = {
        "put back": depara_jax.compare_models(models, probe, recipe),
        "as they lie": depara_jax.similarity_matrix(graphs, recipe),
    }
    for i, resize in enumerate(RESIZES[1:], start=1):
        alike = {how: round(float(np.asarray(of.node)[0, i]), 4) for how, of in found.items()}
        crop = round(RESIZES[0] / resize, 2)
        print(json.dumps({"network": NETWORK, "crop": crop, "node_similarity_to_whole": alike}))
    return 0


def _cropped(model: Model, resize: int) -> Model:
    input = dataclasses.replace(model.spec.input, resize=resize)
    spec = dataclasses.replace(model.spec, input=input, name=f"{model.spec.name}@{resize}")
    return dataclasses.replace(model, spec=spec)


def _square(image: np.ndarray, side: int = 224) -> np.ndarray:
    short = min(image.shape[:2])
    top, left = ((n - short) // 2 for n in image.shape[:2])
    cropped = Image.fromarray(image[top : top + short, left : left + short])
    return np.asarray(cropped.resize((side, side), Image.Resampling.BILINEAR))


if __name__ == "__main__":
    sys.exit(main())
