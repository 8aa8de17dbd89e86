"""The league: readouts against slow or other code; alignment; choices; the command."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from depara_jax.errors import DeparaError
from experiments.league import (
    choice,
    collect,
    config,
    data,
    encoders,
    judge,
    main,
    readouts,
    results,
    study,
    truth,
)
from experiments.league import league as tables
from experiments.league.config import RANDOM, Encoder, StudyConfig
from experiments.league.methods import DOMAINS, MATRICES, METHODS
from experiments.mini_taskonomy.heads import Statistics
from experiments.mini_taskonomy.tasks import TASKS
from experiments.mini_taskonomy.views import Example

TASK_NAMES = ("edges", "corners", "saturation", "denoising", "photograph", "noise_level")
ARCHITECTURES = ("residual", "plain")
EDGES_ALONE = METHODS["E alone, z-scored"]


# Which targets count.


def test_the_rule_needs_reproducible_targets_that_beat_random_encoders():
    made = made_results()
    own = [name.startswith("corners/") for name in made.names]
    made.losses[own, TASK_NAMES.index("corners")] = 1.0
    one = study.Study(made)
    one.reproducible = np.array([0.6, 0.9, 0.9, 0.59, 0.9, 0.9])
    assert one.targets == ("edges", "saturation", "photograph", "noise_level")
    every = study.Study(dataclasses.replace(made, meta={"config": {"least_agreement": None}}))
    assert every.targets == TASK_NAMES


# Readouts.


def test_dense_targets_are_coded_place_by_place(rng):
    values = rng.normal(size=(2, 32, 32, 3)).astype(np.float32)
    weight = np.ones((2, 32, 32, 1), np.float32)
    batch = Example(jnp.zeros((2, 32, 32, 3)), jnp.asarray(values), jnp.asarray(weight), None)
    mean, scale = jnp.array([0.1, 0.2, 0.3]), jnp.array(2.0)
    got = readouts.coded(TASKS["denoising"], batch, Statistics(mean, scale), 8)
    assert got.values.shape == (2, 64, 48)
    expected = (values[1, 4 * 2 + 1, 4 * 5 + 3] - np.array([0.1, 0.2, 0.3])) / 2
    place = got.values[1, 2 * 8 + 5].reshape(4, 4, 3)
    np.testing.assert_allclose(place[1, 3], expected, atol=1e-6)  # float32
    features = jnp.asarray(rng.normal(size=(2, 8, 8, 4)), jnp.float32)
    rows = readouts.design(TASKS["denoising"], features).reshape(2, 8, 8, 9, 4)
    np.testing.assert_array_equal(rows[0, 2, 5, 4], features[0, 2, 5])  # the centre of 3 x 3
    np.testing.assert_array_equal(rows[0, 2, 5, 0], features[0, 1, 4])
    assert not rows[0, 0, 0, 0].any()  # nothing beyond the border


def test_a_readout_is_the_ridge_regression_of_scikit_learn(rng):
    from sklearn.linear_model import Ridge

    rows = (rng.normal(size=(60, 1, 12)) * rng.uniform(0.5, 2.0, size=12)).astype(np.float32)
    values = (rows @ rng.normal(size=(12, 3)) + 0.5 * rng.normal(size=(60, 1, 3))).astype("f4")
    flat = rows[:48, 0]
    trained = readouts.Coded(values[:48], np.ones((48, 1, 3), np.float32))
    guesses = readouts.predictions(rows[:48], trained, rows[48:], readouts.RIDGES)
    for ridge, guess in zip(readouts.RIDGES, guesses, strict=True):
        model = Ridge(alpha=48 * ridge).fit((flat - flat.mean(0)) / flat.std(0), values[:48, 0])
        expected = model.predict((rows[48:, 0] - flat.mean(0)) / flat.std(0))
        # float32 normal equations against a float64 solver.
        np.testing.assert_allclose(guess[:, 0], expected, atol=2e-4)


def test_what_does_not_count_does_not_move_a_readout(rng):
    rows = rng.normal(size=(40, 2, 5)).astype(np.float32)
    values = rng.normal(size=(40, 2, 3)).astype(np.float32)
    weights = np.ones_like(values)
    weights[:, 1] = 0.0  # the second place of every image
    moved = values + (1 - weights) * rng.normal(size=values.shape).astype(np.float32)
    one, other = (
        readouts.readout_losses(
            rows[:32], readouts.Coded(v[:32], weights[:32]), rows[32:],
            readouts.Coded(v[32:], weights[32:]),
        )
        for v in (values, moved)
    )  # fmt: skip
    np.testing.assert_allclose(one, other, rtol=1e-6)  # float32


def test_a_readout_finds_what_is_there_and_nothing_where_there_is_nothing(rng):
    rows = rng.normal(size=(200, 1, 6)).astype(np.float32)
    signal, noise = rows[:, :, :2], rng.normal(size=(200, 1, 2)).astype(np.float32)
    for values, low, high in ((signal, 0.0, 1e-3), (noise, 0.8, 1.3)):
        coded = readouts.Coded(values, np.ones_like(values))
        train, test = coded.part(slice(120)), coded.part(slice(120, None))
        errors = readouts.readout_losses(rows[:120], train, rows[120:], test)
        assert low <= float(errors.mean()) <= high
        probe = readouts.probe_error(rows[:120], train)
        assert low <= probe <= high


def test_the_knn_error_is_that_of_a_loop(rng):
    points = rng.normal(size=(30, 4)).astype(np.float32)
    values = rng.normal(size=(30, 1, 2)).astype(np.float32)
    expected = []
    for i in range(30):
        distance = np.linalg.norm(points - points[i], axis=1)
        distance[i] = np.inf
        near = np.argsort(distance)[:5]
        expected.append(((values[near].mean(0) - values[i]) ** 2).mean())
    got = readouts.knn_error(points, readouts.Coded(values, np.ones_like(values)))
    np.testing.assert_allclose(got, np.mean(expected), rtol=1e-5)


# Results and alignment.


def made_results(seed: int = 0, seeds: int = 3) -> results.Results:
    """Results in which a code of both names is each matrix's entry, and truth follows the code."""
    rng = np.random.default_rng(seed)
    encoders = [
        Encoder(task, architecture, s)
        for architecture in ARCHITECTURES
        for task in (*TASK_NAMES, RANDOM)
        for s in range(seeds)
    ]
    trained = [e for e in encoders if e.task != RANDOM]
    like = rng.normal(size=(len(TASK_NAMES), len(TASK_NAMES)))
    like = (like + like.T) / 8
    place = {task: i for i, task in enumerate(TASK_NAMES)}
    tasks = [place[e.task] for e in trained]
    matrix = like[np.ix_(tasks, tasks)]
    losses = np.full((len(encoders), len(TASK_NAMES), 2), 0.9)
    for i, e in enumerate(encoders):
        for t, target in enumerate(TASK_NAMES):
            if e.task == target:
                losses[i, t] = 0.1
            elif e.task != RANDOM:
                losses[i, t] = 0.5 - like[t, place[e.task]] * 0.2
    meta = {"config": {"least_agreement": 0.6}, "parameters": {"residual": 9, "plain": 5}}
    return results.Results(
        meta=meta,
        names=tuple(e.name for e in encoders),
        targets=TASK_NAMES,
        losses=losses,
        ahp=1 - losses.mean(axis=2),
        knn=losses.mean(axis=2),
        probe=losses.mean(axis=2),
        quality=rng.uniform(size=len(encoders)),
        matrices=dict.fromkeys(sorted(MATRICES), matrix),
        seconds=dict.fromkeys(MATRICES, 0.1),
        sweep={"10/0": np.zeros((3, len(TASK_NAMES)))},
        fine_tuned=np.array([[0, 1, 0.5], [3, 1, 0.25]]),
    )


def test_results_survive_the_file_to_16_bits(tmp_path):
    made = made_results()
    path = tmp_path / "results.npz"
    results.save_results(path, made, across=("node/gxi-l2sq",))
    read = results.load_results(path)
    assert read.names == made.names
    assert read.targets == made.targets
    np.testing.assert_allclose(read.losses, made.losses, atol=1e-6)  # float32
    size = len(made.trained)
    off = ~np.eye(size, dtype=bool)
    got, expected = read.matrices["node/gxi-l2sq"], made.matrices["node/gxi-l2sq"]
    np.testing.assert_allclose(got[off], expected[off], atol=np.abs(expected).max() / 32767)
    within = np.array([name.split("/")[1] for name in made.trained])
    same = within[:, None] == within
    got = read.matrices["edge/raw"]
    np.testing.assert_allclose(got[same & off], expected[same & off], atol=2e-5)
    assert np.isnan(got[~same]).all()  # between architectures nothing was kept


def test_damaged_or_foreign_files_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(DeparaError, match="no results of this study"):
        results.load_results(tmp_path / "other.npz")
    made = made_results()
    skewed = dataclasses.replace(
        made, matrices={"edge/raw": np.triu(made.matrices["edge/raw"], k=1)}
    )
    with pytest.raises(DeparaError, match="not finite and symmetric"):
        results.save_results(tmp_path / "r.npz", skewed)


def test_blocks_are_cut_by_name():
    made = made_results()
    size = len(made.trained)
    code = np.arange(size, dtype=float)
    unique = code[:, None] * 1000 + code
    one = study.Study(dataclasses.replace(made, matrices={"pair/x": unique}))
    method = (("pair/x", 1.0),)
    for pool in (*one.pools(), *one.pools(sources="other"), *one.pools(sources="all")):
        block = one.similarity(method, pool)
        names = one.candidates(pool)
        for i, row in enumerate(names):
            target = Encoder(row.task, pool.architecture, pool.target_seed)
            for j, column in enumerate(names):
                expected = one.place[target] * 1000 + one.place[column]
                assert block[i, j] == expected


def test_the_truth_leaves_out_the_targets_own_networks():
    one = study.Study(made_results())
    assert one.targets == TASK_NAMES
    for sources in ("same", "all"):
        pool = one.pools(sources=sources)[1]
        truth_of = one.truth(pool, one.targets)
        names = one.candidates(pool)
        for i, target in enumerate(one.targets):
            left_out = {n for n, known in zip(names, truth_of.pairs[i], strict=True) if not known}
            assert left_out == {n for n in names if n.task == target}


def test_judging_the_truth_by_itself_is_perfect_and_its_opposite_the_reverse():
    one = study.Study(made_results())
    right = judge.judge(one, judge.by_method(one, EDGES_ALONE))
    np.testing.assert_allclose(right["spearman"], 1.0)
    np.testing.assert_allclose(right["kendall"], 1.0)
    np.testing.assert_allclose(right["P@1"], 1.0)
    np.testing.assert_allclose(right["regret@1"], 0.0)
    wrong = judge.judge(one, lambda pool: -one.similarity(EDGES_ALONE, pool))
    np.testing.assert_allclose(wrong["spearman"], -1.0)
    assert (wrong["regret@1"] > 0).all()


def test_the_league_has_every_row_and_knows_the_ceiling(monkeypatch):
    monkeypatch.setattr(tables, "DRAWS", 4)
    one = study.Study(made_results(seeds=2))
    titles = {entry.title: entry for entry in tables.league(one)}
    assert METHODS.keys() <= titles.keys()
    ceiling = "the truth of other encoder seeds (ceiling)"
    kinds = {
        "kNN on 128 target labels": "labels", "linear probe on 128 target labels": "labels",
        "best on the other targets": "reference", ceiling: "reference",
        "random": "prior", "prior: same family of tasks": "prior",
    }  # fmt: skip
    assert kinds.items() <= {title: entry.kind for title, entry in titles.items()}.items()
    assert "prior: parameter count" not in titles  # all of one size within an architecture
    np.testing.assert_allclose(titles[ceiling].scores["spearman"].mean, 1.0)
    # 4 draws, 6 targets, 8 pools of 5 sources: a standard error of about 0.04.
    assert abs(titles["random"].scores["spearman"].mean) < 0.2
    both = {entry.title for entry in tables.league(one, sources="all")}
    assert "prior: parameter count" in both


def test_choosing_does_not_peek_at_the_other_half():
    one = study.Study(made_results())
    (first, early), (second, late) = choice.halves(one)
    assert not set(first) & set(second)
    assert not set(early) & set(late)
    assert set(first) | set(second) == set(one.targets)

    def deceptive(pool):
        """Right about the first half's pools, wrong about the second's."""
        matrix = one.similarity(EDGES_ALONE, pool)
        return matrix if pool.source_seed in early else -matrix

    def honest(pool):
        return one.similarity(EDGES_ALONE, pool) * np.where(pool.source_seed in early, 0.5, 1.0)

    got = choice.choose(one, {"deceptive": deceptive, "flat": lambda p: 0 * honest(p)})
    assert got.chosen == ("deceptive", "flat")
    # Half B judged by what half A chose comes first, then half A by what half B chose.
    assert list(got.followed) == [-1.0] * len(second) + [0.0] * len(first)
    assert len(got.held_out["flat"]) == len(one.targets)


def test_rank_fusion_ignores_scale(rng):
    one = study.Study(made_results())
    pool = one.pools()[0]
    members = [EDGES_ALONE, (("edge/zscore", 100.0),)]
    fused = choice.fused(one, members, by="rank")(pool)
    alone = choice.fused(one, members[:1], by="rank")(pool)
    np.testing.assert_allclose(fused, 2 * alone)


# Study configuration, data and command.


def test_encoders_start_from_weights_of_their_own():
    keys = [
        encoders.key_of(Encoder(task, architecture, seed))
        for task in ("edges", "corners")
        for architecture in ARCHITECTURES
        for seed in (0, 1)
    ]
    assert len({tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in keys}) == 8


def test_the_full_study_is_as_large_as_it_says():
    tasks = [TASKS[name] for name in config.FULL.tasks]
    assert len(tasks) >= 14
    assert len({task.family for task in tasks}) >= 4
    assert len(config.FULL.architectures) >= 2
    assert config.FULL.seeds >= 3
    with pytest.raises(DeparaError, match="at least 4 tasks"):
        StudyConfig(architectures=config.FULL.architectures, tasks=("edges",))


@pytest.fixture
def folder(tmp_path, rng):
    """Twelve pictures of blocks, each of one colour that tells where a patch is from."""
    for i in range(12):
        pixels = np.zeros((140, 150, 3), np.uint8)
        pixels[..., 0] = 20 * i
        pixels[..., 1] = np.kron(rng.integers(0, 255, size=(14, 15)), np.ones((10, 10)))
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    return tmp_path


def test_a_folder_is_split_image_by_image(folder):
    images = data.load_images(str(folder), probe_images=8)
    parts = [
        {int(v) for v in np.asarray(part)[..., 0].reshape(-1)}
        for part in (one.images for one in images.data)
    ]
    probe = {int(images.probe.thumbnail(i)[..., 0].max()) for i in range(len(images.probe))}
    assert not parts[0] & parts[1]
    assert not probe & (parts[0] | parts[1])
    assert images.data[0].images.shape[1:] == (48, 48, 3)
    with pytest.raises(DeparaError, match="give more or larger images"):
        data.load_images(str(folder), probe_images=1000)


def test_probe_domains_differ_and_repeat():
    for domain in DOMAINS:
        first, again = (data.domain_probe(domain, 20) for _ in range(2))
        assert len(first) == 20
        assert first.fingerprint == again.fingerprint
    prints = {data.domain_probe(domain, 20).fingerprint for domain in DOMAINS}
    assert len(prints) == len(DOMAINS)
    with pytest.raises(DeparaError, match="expected one of"):
        data.domain_probe("paintings", 3)


def test_tasks_of_the_plain_crop_share_their_images():
    train, validation = (
        data.Data(jnp.asarray(x), jnp.zeros(len(x), jnp.int32))
        for x in np.random.default_rng(0).integers(0, 255, (2, 9, 48, 48, 3), np.uint8)
    )
    small = dataclasses.replace(config.QUICK, readout_images=8, readout_draws=1, test_images=4)
    pictures = [
        truth.target_examples(TASKS[name], small, train, validation)[1].image
        for name in ("photograph", "saturation", "noise_level")
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert np.abs(pictures[0] - pictures[2]).max() > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--until", "later"], "--until"),
        (["--tasks", "edges,corners,nothing,saturation"], "nothing"),
        (["--tasks", "edges,corners"], "at least 4 tasks"),
        (["--from-results", "/nowhere.npz"], "nowhere"),
        (["--data", "/nowhere"], "does not exist"),
        (["--output", "/proc/nowhere"], "cannot be made"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, tmp_path, capsys):
    assert main.main(["--output", str(tmp_path / "out"), "--quick", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_rows_of_another_stage_are_refused():
    made = made_results()
    with pytest.raises(AssertionError, match="other networks"):
        collect.collect(config.QUICK, {}, {}, ((), {}), {}, {}, made.meta)


@pytest.mark.slow
def test_a_folder_is_trained_on_and_transferred_to(folder, tmp_path, monkeypatch):
    """The stages after these know nothing of where the images are from; CI runs them all."""
    with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes
        arguments = ["--output", str(tmp_path / "run"), "--quick", "--data", str(folder)]
        monkeypatch.setattr(main, "QUICK", dataclasses.replace(config.QUICK, most_probe_images=24))
        assert main.main([*arguments, "--until", "transfer"]) == 0
    result = json.loads((tmp_path / "run/encoders/plain/edges/seed1/result.json").read_text())
    assert np.isfinite(result["validation"])
    assert list((tmp_path / "run/transfer").glob("edges-plain-*.npz"))
