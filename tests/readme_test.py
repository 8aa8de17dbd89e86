"""The README's Python runs as it stands there."""

import re
from pathlib import Path

import numpy as np

README = Path(__file__).parent.parent / "README.md"


def test_the_examples_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    names: dict = {}
    for block in blocks:
        exec(block, names)  # noqa: S102 - the README is ours
    assert names["ranking"].best == "corners"
    assert names["similarity"].shape == (4, 4)
    assert names["graph"].nodes.shape == (100, 3072)
    assert names["graph"].edges.shape == (4950,)
    features = names["model"].forward(names["model"].variables, np.ones((2, 32, 32, 3), np.float32))
    assert features["pooled"].shape == (2, 3)
