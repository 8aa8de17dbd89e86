"""All tables as Markdown and all figures, from the results file alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from depara_jax.evaluation.correlation import spearman
from experiments.common.cells import write_text
from experiments.common.tables import markdown
from experiments.league import figures
from experiments.league.choice import Choice, candidates, choose, halves, lambda_rules
from experiments.league.config import RANDOM
from experiments.league.judge import METRICS, score
from experiments.league.league import AHP, DIFFERENCE, Entry, league, reproducibility
from experiments.league.results import Results
from experiments.league.study import Study
from experiments.league.sweeps import ablations, lambda_curve, probe_counts

DEFAULT = "`default`: V + z-scored E"


def write_report(results: Results, folder: Path) -> None:
    """Writes tables.md and figures/*.png."""
    study = Study(results)
    parts = [_head(study), _targets(study), _fine_tuned(study)]
    if len(study.targets) >= 4:
        parts += _judged(study, folder / "figures")
    else:
        parts.append("Fewer than four targets pass the rule, so no method is scored.\n")
    figures.save(figures.truth_figure(study), folder / "figures" / "truth.png")
    write_text(folder / "tables.md", "\n".join(part for part in parts if part))


def _judged(study: Study, pictures: Path) -> list[str]:
    """Everything that needs targets to score methods on."""
    entries = league(study)
    figures.save(figures.league_figure(entries), pictures / "league.png")
    parts = [_league("## League", entries)]
    mixed = league(study, sources="all")
    parts.append(_league("## League, sources of both architectures", mixed, short=True))
    for sweep in ablations(study):
        rows = [[label, *map(str, values.values())] for label, values in sweep.rows.items()]
        header = ["setting", *next(iter(sweep.rows.values()))]
        parts.append(_table(f"## Ablation: {sweep.title}", header, rows))
        figures.save(figures.sweep_figure(sweep), pictures / f"{sweep.name}.png")
    parts += [_lambda(study, pictures), _counts(study, pictures)]
    rules = choose(study, lambda_rules(study))
    parts.append(_choice("## Rules for lambda, held out", study, rules, "lambda = 1"))
    if "node/ig-max" in study.results.matrices:
        tried = choose(study, candidates(study))
        parts.append(_choice("## Attempts to do better, held out", study, tried, DEFAULT))
    return parts


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], note="") -> str:
    return "\n".join([title, "", *([note, ""] if note else []), *markdown(header, rows)]) + "\n"


def _head(study: Study) -> str:
    meta = study.results.meta
    lines = [f"- {key}: {value}" for key, value in meta.items() if isinstance(value, str | float)]
    lines += [f"- seconds of {k}: {v}" for k, v in meta.get("seconds", {}).items()]
    return "# Tables\n\nMade by `python -m experiments.league.main --from-results`.\n\n" + (
        "\n".join(lines) + "\n"
    )


def _targets(study: Study) -> str:
    """How reproducible the truth is, and which targets count."""
    found = reproducibility(study)
    losses, rows = study.losses, []
    control = losses[study.rows(RANDOM)].mean(axis=0)
    for i, task in enumerate(study.tasks):
        own = losses[study.rows(task), i].mean()
        others = [e.task not in (task, RANDOM) for e in study.encoders]
        worse = (losses[others, i] > control[i]).mean()
        columns = [f"{found[key][i]:.2f}" for key in found]
        kept = "yes" if task in study.targets else "no"
        rows.append([task, f"{own:.3f}", f"{control[i]:.3f}", f"{worse:.0%}", *columns, kept])
    kept = np.isin(study.tasks, study.targets)
    means = [f"{found[key][kept].mean():.2f}" if kept.any() else "-" for key in found]
    rows.append(["mean of those kept", "", "", "", *means, f"{kept.sum()}"])
    header = ["target", "own encoder", "random encoder", "sources worse than random"]
    note = (
        "Held-out loss of a readout on the frozen encoder (1 is the best constant); share of "
        "sources that serve worse than a random-initialised encoder; Spearman correlation of the "
        "order of sources between two measurements. A target is kept if the correlation between "
        "encoder seeds is at least "
        f"{study.results.meta['config']['least_agreement']} and its own encoders beat random ones."
    )
    return _table("## Truth", [*header, *found, "kept"], rows, note)


def _league(title: str, entries: Sequence[Entry], *, short: bool = False) -> str:
    metrics = [*METRICS, *([] if short else [AHP]), DIFFERENCE]
    rows = []
    for entry in entries:
        seconds = "" if entry.seconds is None else f"{entry.seconds:.3f}"
        scores = [str(entry.scores[metric]) for metric in metrics]
        rows.append([entry.title, entry.kind, *scores, seconds])
    header = ["method", "needs", *metrics, "s a network"]
    return _table(title, header, rows)


def _lambda(study: Study, pictures: Path) -> str:
    kinds = {"z-scored edges": "zscore", "raw edges": "raw"}
    curves = {f"V + lambda E, {n}": lambda_curve(study, f"edge/{k}") for n, k in kinds.items()}
    scores = {name: [score(v) for v in curve.values()] for name, curve in curves.items()}
    xs = list(next(iter(curves.values())))
    picture = figures.curve_figure(
        xs, scores, title="weight of the edge term", xlabel="lambda", ends=("V alone", "E alone")
    )
    figures.save(picture, pictures / "lambda.png")
    names = ["0 (V alone)", *(f"{x:g}" for x in xs[1:-1]), "infinite (E alone)"]
    rows = [[name, *map(str, row)] for name, *row in zip(names, *scores.values(), strict=True)]
    return _table("## Ablation: lambda", ["lambda", *scores], rows)


def _counts(study: Study, pictures: Path) -> str:
    counts = probe_counts(study)
    if len(counts) < 2:
        return ""
    terms = list(next(iter(counts.values())))
    series = {term: [counts[count][term][0] for count in counts] for term in terms}
    picture = figures.curve_figure(
        list(counts), series, title="number of probe images", xlabel="probe images"
    )
    figures.save(picture, pictures / "probe-images.png")
    rows = [
        [str(count), *(f"{by[t][0]} ({by[t][1]:.3f})".replace(" (nan)", "") for t in terms)]
        for count, by in counts.items()
    ]
    note = "In parentheses the standard deviation between draws of that many images."
    return _table("## Ablation: number of probe images", ["images", *terms], rows, note)


def _choice(title: str, study: Study, choice: Choice, reference: str) -> str:
    rows = []
    for option in sorted(choice.held_out, key=lambda o: -choice.held_out[o].mean()):
        selected = [f"{half[option]:.3f}" for half in choice.selection]
        marks = [f"fold {i + 1}" for i, name in enumerate(choice.chosen) if name == option]
        held_out = str(score(choice.held_out[option]))
        against = str(score(choice.held_out[option] - choice.held_out[reference]))
        rows.append([option, *selected, held_out, against, ", ".join(marks)])
    followed = score(choice.followed)
    base = score(choice.followed - choice.held_out[reference])
    rows.append(["what was chosen, followed", "", "", str(followed), str(base), ""])
    header = ["option", "half A", "half B", "held out", f"minus {reference}", "chosen in"]
    parts = "; ".join(
        f"half {'AB'[i]}: {', '.join(targets)} with encoder seeds {', '.join(map(str, seeds))}"
        for i, (targets, seeds) in enumerate(halves(study))
    )
    return _table(title, header, rows, f"Mean Spearman. {parts}.")


def _fine_tuned(study: Study) -> str:
    """Whether fine-tuning orders sources as frozen readouts do."""
    table = study.results.fine_tuned
    rows = []
    for t in sorted({int(row[1]) for row in table}):
        some = table[table[:, 1] == t]
        places = some[:, 0].astype(int)
        if len(some) > 2:
            control = np.isin(places, study.rows(RANDOM))
            frozen = study.losses[places, t]
            rank = f"{spearman(frozen, some[:, 2]):.2f}"
            best = f"{some[:, 2].min():.3f} to {some[:, 2].max():.3f}"
            random = f"{some[control, 2].mean():.3f}" if control.any() else ""
            rows.append([study.tasks[t], str(len(some)), best, random, rank])
    if not rows:
        return ""
    header = ["target", "sources", "fine-tuned loss", "from random", "Spearman with frozen"]
    return _table("## Fine-tuned, a sample of pairs", header, rows)
