"""The mini-Taskonomy: its filters and targets against scipy, its training, its command."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage as ndi

from depara_jax.errors import DeparaError, UnknownNameError
from depara_jax.models import list_models, load_model
from depara_jax.models.encoder import EncoderConfig
from experiments.mini_taskonomy import evaluation, filters, main, package, train
from experiments.mini_taskonomy.cells import beats
from experiments.mini_taskonomy.config import PATCH, SIZE, TrainConfig
from experiments.mini_taskonomy.data import Data, load_data
from experiments.mini_taskonomy.heads import apply_head, init_head, target_statistics
from experiments.mini_taskonomy.tasks import PERMUTATIONS, TASKS, compiled_batch, task_named

TINY = TrainConfig(
    encoder=EncoderConfig(widths=(4, 6), strides=(1, 2), features=4),
    steps=12,
    batch_size=16,
    warmup=2,
    head_width=8,
    chunk=5,
)
# Convolutions inside a scan are slow on a CPU: as few of them as can be.
MICRO = dataclasses.replace(
    TINY,
    encoder=EncoderConfig(block="plain", widths=(2,), strides=(2,), features=2),
    batch_size=4,
    steps=2,
    warmup=1,
    head_width=2,
)


@pytest.fixture(scope="module")
def data() -> tuple[Data, Data]:
    return load_data(per_photograph=6)


@pytest.fixture(autouse=True)
def _optax_promotes():
    """Optax itself mixes float32 with int32 counters, so what trains runs without strictness."""
    with jax.numpy_dtype_promotion("standard"):
        yield


def batch_of(name: str, data: Data, seed: int = 0):
    return compiled_batch(task_named(name))(jax.random.key(seed), data.images, data.photograph)


# Filters.


def test_filters_agree_with_scipy(rng):
    image = rng.uniform(size=(PATCH, PATCH)).astype(np.float32)
    centres = jnp.arange(SIZE, dtype=jnp.float32) + 8
    matrix = filters.gaussian(centres, 1.3)
    # truncate=6: scipy stops at 6 sigma, the matrix runs over the whole patch.
    expected = ndi.gaussian_filter(image, 1.3, truncate=6)[8 : 8 + SIZE, 8 : 8 + SIZE]
    # float32 against double sums of about 17^2 products.
    np.testing.assert_allclose(filters.apply(matrix, matrix, image), expected, atol=1e-5)
    cropped = filters.crop(centres)
    np.testing.assert_allclose(filters.apply(cropped, cropped, image), image[8:40, 8:40], atol=1e-6)


def test_magnify_by_one_is_a_crop_and_by_two_a_mean(rng):
    image = rng.uniform(size=(PATCH, PATCH, 3)).astype(np.float32)
    same = filters.magnify(jnp.float32(5), jnp.float32(SIZE), SIZE)
    np.testing.assert_allclose(filters.apply(same, same, image), image[5:37, 5:37], atol=1e-6)
    half = filters.magnify(jnp.float32(0), jnp.float32(PATCH), PATCH // 2)
    flat = filters.apply(half, half, np.ones_like(image))
    np.testing.assert_allclose(flat, 1.0, atol=1e-6)


def test_edges_are_sobels(data):
    batch = batch_of("edges", data[0])
    grey = np.asarray(batch.image) @ np.array([0.299, 0.587, 0.114], np.float32)
    for image, target in zip(grey[:5], np.asarray(batch.target)[:5], strict=True):
        dx, dy = ndi.sobel(image, axis=1) / 8, ndi.sobel(image, axis=0) / 8
        inside = np.s_[1:-1, 1:-1]  # the target also sees the pixels around the crop
        # float32 under two square roots, which stretch rounding near 0: 1e-7 becomes 3e-4.
        np.testing.assert_allclose(
            target[..., 0][inside], np.sqrt(np.hypot(dx, dy))[inside], atol=2e-3
        )


# Tasks.


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_gives_well_formed_examples_fixed_by_the_key(data, name):
    task, n = task_named(name), len(data[0].images)
    batch, again, other = (batch_of(name, data[0], seed) for seed in (0, 0, 1))
    assert batch.image.shape == (n, SIZE, SIZE, 3)
    shapes = {"dense": (n, SIZE, SIZE, task.outputs), "vector": (n, task.outputs), "classes": (n,)}
    assert batch.target.shape == shapes[task.kind]
    np.testing.assert_array_equal(batch.image, again.image)
    np.testing.assert_array_equal(batch.target, again.target)
    assert not np.array_equal(batch.image, other.image)
    assert np.isfinite(np.asarray(batch.image)).all()
    assert np.isfinite(np.asarray(batch.target, np.float32)).all()
    assert float(jnp.std(batch.target.astype(jnp.float32))) > 0
    if task.kind == "classes":
        assert 0 <= int(batch.target.min()) <= int(batch.target.max()) < task.outputs


def test_an_example_depends_on_its_own_patch_alone(data):
    task = task_named("inpainting")
    images, photograph = data[0].images, data[0].photograph
    keys = jax.random.key(0)
    whole = task.batch(keys, images, photograph)
    changed = task.batch(keys, images.at[1].set(0), photograph)
    np.testing.assert_array_equal(whole.image[0], changed.image[0])
    assert not np.array_equal(whole.image[1], changed.image[1])


def test_inpainting_hides_what_it_asks_for(data):
    batch = batch_of("inpainting", data[0])
    hole = np.asarray(batch.weight)[..., 0] == 1
    assert (hole.sum((1, 2)) == 144).all()
    np.testing.assert_array_equal(np.asarray(batch.image)[hole], 0.5)
    np.testing.assert_array_equal(np.asarray(batch.image)[~hole], np.asarray(batch.target)[~hole])


def test_jigsaws_pieces_put_back_are_smoother_than_the_jigsaw(data):
    batch = batch_of("jigsaw", data[0])
    half = SIZE // 2
    moved, back = [], []
    for image, label in zip(np.asarray(batch.image), np.asarray(batch.target), strict=True):
        pieces = image.reshape(2, half, 2, half, 3).swapaxes(1, 2).reshape(4, half, half, 3)
        order = np.argsort(PERMUTATIONS[label])
        whole = pieces[order].reshape(2, 2, half, half, 3).swapaxes(1, 2).reshape(SIZE, SIZE, 3)
        for out, picture in ((moved, image), (back, whole)):
            out.append(np.abs(picture[half] - picture[half - 1]).mean())
    assert np.mean(back) < 0.7 * np.mean(moved)


def test_stronger_blur_and_noise_show(data):
    blurred, noisy = batch_of("blur_level", data[0]), batch_of("noise_level", data[0])

    def roughness(batch):
        return np.abs(np.diff(np.asarray(batch.image), axis=1)).mean((1, 2, 3))

    assert np.corrcoef(roughness(blurred), np.asarray(blurred.target)[:, 0])[0, 1] < -0.2
    assert np.corrcoef(roughness(noisy), np.asarray(noisy.target)[:, 0])[0, 1] > 0.5


# Training.


def test_training_lowers_the_loss_and_repeats_bit_for_bit(data):
    task, config = task_named("saturation"), dataclasses.replace(TINY, steps=40)
    first, second = (train.fit(task, data[0], config, jax.random.key(0)) for _ in range(2))
    assert first.losses.shape == (40,)
    assert first.losses[-10:].mean() < 0.8 * first.losses[:5].mean()
    np.testing.assert_array_equal(first.losses, second.losses)
    for a, b in zip(jax.tree.leaves(first.encoder), jax.tree.leaves(second.encoder), strict=True):
        np.testing.assert_array_equal(a, b)
    trained = evaluation.evaluate(task, first, data[1], config)
    assert trained.mean < evaluation.trivial_scores(task, *data).mean


def test_a_frozen_encoder_stays_as_it_is(data):
    task = task_named("photograph")
    start = train.init_state(jax.random.key(5), task, TINY, frozen=True)
    fit = train.fit(task, data[0], TINY, jax.random.key(0), frozen=True, encoder=start.encoder)
    for a, b in zip(jax.tree.leaves(start.encoder), jax.tree.leaves(fit.encoder), strict=True):
        np.testing.assert_array_equal(a, b)
    assert float(jnp.abs(fit.head["bias1"]).max()) > 0


def test_a_scan_on_the_device_is_the_loop_on_the_host(data):
    task = task_named("edges")
    key = jax.random.key(2)
    statistics = target_statistics(task, data[0])
    losses = []
    for scan in (False, True):
        state = train.init_state(key, task, MICRO, frozen=False)
        run = train._runner(task, MICRO, False, scan)
        losses.append(run(state, key, jnp.arange(2), data[0], statistics)[1])
    # The two compile the convolutions differently: summation order.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)


def test_a_head_starts_near_the_mean_of_the_targets(data):
    for name in ("edges", "scale", "photograph"):
        task = task_named(name)
        head = init_head(jax.random.key(0), task, TINY)
        features = jax.random.normal(jax.random.key(1), (4, 8, 8, 4))
        out = apply_head(head, task, features)
        shape = (4, SIZE, SIZE, 1) if task.kind == "dense" else (4, task.outputs)
        assert out.shape == shape
        assert float(out.std()) < 0.6


def test_the_trivial_score_is_that_of_the_best_constant(data):
    rotation = task_named("rotation")
    labels = np.asarray(evaluation.evaluation_batch(rotation, data[1]).target)
    expected = np.bincount(labels).max() / len(labels)
    assert evaluation.trivial_scores(rotation, *data).mean == pytest.approx(expected)
    # A mean colour of one's own beats the mean of all: nmse well below 1.
    assert evaluation.trivial_scores(task_named("autoencoding"), *data).mean < 0.6


def test_beats_counts_standard_errors():
    task = task_named("edges")
    worse, better = np.array([1.0, 1.2, 0.8, 1.0]), np.array([0.5, 0.5, 0.5, 0.5])
    expected = 0.5 / (np.std(worse - better, ddof=1) / 2)
    z = beats(task, evaluation.Scores(better, 0.0), evaluation.Scores(worse, 0.0))
    assert z == pytest.approx(expected)
    assert beats(task, evaluation.Scores(worse, 0.0), evaluation.Scores(worse, 0.0)) == 0


# The command.


@pytest.fixture
def tiny(monkeypatch):
    """The command at the size of a test."""
    monkeypatch.setattr(main, "ZOO", TINY)
    monkeypatch.setattr(main, "load_data", lambda: load_data(per_photograph=6))


def run_command(tmp_path, *more) -> int:
    return main.main(["--output", str(tmp_path / "run"), "--steps", "40", *more])


def result_of(tmp_path) -> dict:
    return json.loads((tmp_path / "run/saturation/seed0/result.json").read_text())


def test_the_command_trains_packages_and_skips_what_is_done(tmp_path, tiny, monkeypatch):
    folder = tmp_path / "zoo" / "mine"
    assert run_command(tmp_path, "--tasks", "saturation", "--package", str(folder)) == 0
    losses = (tmp_path / "run/saturation/seed0/losses.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in losses] == list(range(1, 41))
    assert [spec.name for spec in list_models(folder)] == ["saturation"]
    model = load_model("saturation", zoo=folder)
    assert model.spec.zoo == "mine"
    before = result_of(tmp_path)

    def fail():
        raise AssertionError("patches were cut")

    monkeypatch.setattr(main, "load_data", fail)
    assert run_command(tmp_path, "--tasks", "saturation") == 0
    assert result_of(tmp_path) == before
    # Other steps make another network.
    with pytest.raises(AssertionError, match="patches were cut"):
        run_command(tmp_path, "--tasks", "saturation", "--steps", "12")


def test_check_passes_the_run_itself_and_fails_a_worse_one(tmp_path, tiny):
    folder = tmp_path / "zoo" / "mine"
    run_command(tmp_path, "--tasks", "saturation", "--package", str(folder))
    result = result_of(tmp_path)
    assert [row["ok"] for row in package.check([result], folder)] == [True]
    worse = json.loads(json.dumps(result))
    worse["validation"]["trained"] += 0.5
    rows = package.check([worse], folder)
    assert [row["ok"] for row in rows] == [False]
    assert main.check_table(rows)[-1].endswith("| WORSE |")
    with pytest.raises(DeparaError, match="none of the run's tasks"):
        package.check([result | {"task": "edges"}], folder)


def test_a_folder_of_an_earlier_format_is_refused_in_a_line(tmp_path, capsys):
    cell = tmp_path / "run/saturation/seed0/result.json"
    cell.parent.mkdir(parents=True)
    cell.write_text('{"digest": "0123456789abcdef"}')
    assert run_command(tmp_path, "--tasks", "saturation") == 2
    error = capsys.readouterr().err
    assert "holds something else than a run" in error
    assert error.count("\n") == 1


def test_a_network_no_better_than_its_baselines_is_not_packaged(tmp_path, tiny, capsys):
    more = ("--tasks", "rotation", "--package", str(tmp_path / "zoo"))
    assert run_command(tmp_path, *more) == 2
    assert "nothing to package" in capsys.readouterr().err
    assert not (tmp_path / "zoo").exists()


def test_a_misspelt_task_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main.main(["--output", str(tmp_path), "--tasks", "edgse"]) == 2
    message = capsys.readouterr().err
    assert "did you mean 'edges'" in message
    assert len(message.splitlines()) == 1
    with pytest.raises(UnknownNameError):
        task_named("edgse")


@pytest.mark.parametrize(
    "fields", [{"steps": 0}, {"learning_rate": 0.0}, {"encoder": EncoderConfig(image_size=64)}]
)
def test_a_configuration_that_cannot_train_is_refused(fields):
    with pytest.raises(DeparaError, match="TrainConfig"):
        TrainConfig(**fields)
