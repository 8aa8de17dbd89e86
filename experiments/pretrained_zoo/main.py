"""Runs the study; see README.md.

DEPARA_SHARED=FOLDER python -m experiments.pretrained_zoo.main --output runs/pretrained_zoo
"""

import functools
import json
import sys

from rich.console import Console

from experiments.common.cells import readable
from experiments.common.run import command
from experiments.pretrained_zoo.config import StudyConfig
from experiments.pretrained_zoo.report import report
from experiments.pretrained_zoo.similarity import TWINS
from experiments.pretrained_zoo.study import Study
from experiments.pretrained_zoo.tables import tables


def _main(config: StudyConfig, console: Console) -> None:
    if config.from_results is not None:
        with readable(f"results {config.from_results}", "run the study"):
            lines = tables(json.loads(config.from_results.read_text(encoding="utf-8")))
    else:
        if not config.report:
            extract(config)
        lines = report(config)
    console.print("\n".join(lines), soft_wrap=True, markup=False)


def extract(config: StudyConfig) -> None:
    """Every cell that is not there yet: graphs, features, scores, fine-tuning, in that order."""
    study = Study(config, making=True)
    names = [name for name in study.specs if not config.only or name in config.only]
    # All graphs first: the first half of the study needs nothing else.
    for name in names:
        study.graph(name)
    twins = {second for _, second in TWINS}
    counted = [name for name in names if name not in twins]
    for target in study.targets:
        study.target_network(target)
        for name in counted:
            study.scores(target, name)
    for target in config.finetune:
        for name in counted if target in study.targets else ():
            study.tuned(target, name)


main = functools.partial(
    command, "pretrained_zoo", _main, StudyConfig,
    about="What real networks' graphs say of their tasks, and whether they predict transfer.",
)  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
