"""Makes authors_walks.json by running the authors' own scripts; needs PyTorch and their repository.

git clone https://github.com/zju-vipa/DEPARA /tmp/authors  (@6cf9f6e)
DEPARA_SHARED=FOLDER python -m tests.golden.make_authors_walks /tmp/authors

For each case and each kind of rows, "source" and "imagenet", what `tools/layer_select.py` prints:
V and E of 19 layers. Their two scripts run as they are, except that 200 images, batches of 20 and
19,900 edges are as many as the cases have. Around them are networks with random weights in place of
their own (at 224 pixels the pooling at the end of the features changes nothing), and for
torchvision, of which they use the preprocessing and one network, a stand-in.
"""

import ast
import contextlib
import io
import json
import os
import re
import sys
import tempfile
import types
from pathlib import Path
from unittest import mock

import torch
from PIL import Image
from torch import nn

from depara_jax.data.preprocess import preprocess
from experiments.benchmarks.peers import torch_vgg
from tests.golden.authors_walks_cases import BATCH, CASES, IMAGES, ROLES
from tests.references.torch_parity import to_torch
from tests.references.vgg_state import random_state

NUMBERS = {200: IMAGES, 20: BATCH, 19900: IMAGES * (IMAGES - 1) // 2}
LINE = re.compile(r"^((?:conv|linear)_\d+) (?:: )?(\S+)$", re.MULTILINE)


class FewerImages(ast.NodeTransformer):
    """The number of images, of a batch and of edges."""

    def visit_Constant(self, node):  # noqa: N802 - the name that `ast` calls
        value = NUMBERS.get(node.value, node.value) if type(node.value) is int else node.value
        return ast.copy_location(ast.Constant(value), node)


def run(tools, script, modules, *arguments):
    """What a script prints, run as `python SCRIPT ARGUMENTS` among these modules."""
    path = tools / script
    code = compile(FewerImages().visit(ast.parse(path.read_text())), str(path), "exec")
    printed = io.StringIO()
    sys.modules.update(modules)
    with (
        mock.patch.object(sys, "argv", [script, *arguments]),
        mock.patch.object(sys, "path", [str(tools), *sys.path]),
        contextlib.redirect_stdout(printed),
    ):
        exec(code, {"__name__": "__main__", "__file__": str(path)})
    return printed.getvalue()


def network(case, role):
    """One of the three under its authors' module names: theirs, or torchvision's for ImageNet."""
    weights = random_state(case.config, seed=ROLES.index(role))
    parts = torch_vgg.build(case.config, weights)
    for module in parts.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
    linear1, relu1, dropout1, linear2, relu2, dropout2, linear3 = parts["classifier"]
    order = [linear1, relu1, dropout1, linear2, relu2, dropout2, linear3]
    if role != "imagenet":
        order = [dropout1, linear1, relu1, dropout2, linear2, relu2, linear3, nn.Softmax(dim=1)]
    whole = nn.Module()
    whole.features = nn.Sequential(*parts["features"], parts["avgpool"])
    whole.classifier = nn.Sequential(*order)
    return whole


def stand_ins(case):
    """{name: module} of what the scripts import: networks, utilities, torchvision."""

    def module(name, **contents):
        result = types.ModuleType(name)
        result.__dict__.update(contents)
        return result

    transforms = module(
        "torchvision.transforms", Resize=id, CenterCrop=id, ToTensor=str, Normalize=zip,
        Compose=lambda _: lambda image: to_torch(preprocess(image, case.input)[None])[0],
    )  # fmt: skip
    models = module("models", vgg19_bn=lambda pretrained: network(case, "imagenet"))
    # Their networks get other weights as soon as they are made.
    vgg = module("vgg", vgg19_bn=lambda num_class: network(case, "source"))
    torchvision = module("torchvision", models=models, transforms=transforms)
    return {"vgg": vgg, "utils": module("utils"), "torchvision": torchvision}


def walks(case, tools, shared):
    """{"source": {"V": [19], "E": [19]}, "imagenet": the same}."""
    modules = stand_ins(case)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "test200").mkdir()
        probe = case.probe(shared, folder / "images")
        for i in range(IMAGES):
            Image.fromarray(probe.thumbnail(i)).save(folder / "test200" / f"{i:02}.png")
        names = "".join(f"{i:02}.png\n" for i in range(IMAGES))
        (folder / "imlist_200.txt").write_text(names)
        for role, place in (("target", "mscoco"), ("source", "synthetic")):
            (folder / "weights" / place).mkdir(parents=True)
            path = folder / "weights" / place / "vgg19_bn_final.pt"
            torch.save(network(case, role).state_dict(), path)
        paths = ["--model-weight-path", folder / "weights", "--data-dir", folder]
        paths = [str(part) for part in (*paths, "--save-dir", folder / "dag")]
        run(tools, "vgg_extract.py", modules, "--target", *paths)
        run(tools, "vgg_extract.py", modules, *paths)
        return {
            kind: numbers(
                run(
                    tools, "layer_select.py", modules, "--source", kind,
                    "--dag-dir", str(folder / "dag"),
                )
            )
            for kind in ("source", "imagenet")
        }  # fmt: skip


def numbers(printed):
    """The two columns that are printed, E before V."""
    values = [float(value) for _, value in LINE.findall(printed)]
    return {"V": values[19:], "E": values[:19]}


if __name__ == "__main__":
    tools = Path(sys.argv[1]).resolve() / "tools"
    shared = Path(os.environ["DEPARA_SHARED"])
    stored = {name: walks(case, tools, shared) for name, case in CASES.items()}
    text = json.dumps(stored, indent=1)
    Path(__file__).with_name("authors_walks.json").write_text(text + "\n", encoding="utf-8")
