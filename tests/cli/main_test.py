"""The command line as its users meet it: JSON alone on stdout, one line for bad input."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from depara_jax.cli.main import VERBS, main
from depara_jax.evaluation import load_matrix
from depara_jax.recipe import RECIPES


def run(capsys, *argv):
    code = main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refused(capsys, *argv):
    """The one line that bad input is answered with."""
    code, out, err = run(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for i in range(5):
        # Coarse random blocks: smooth enough for networks to tell them apart.
        blocks = generator.integers(0, 255, (6, 7, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((70, 60), Image.Resampling.BILINEAR).save(path / f"{i}.png")
    return path


def test_models_lists_what_can_be_named(capsys):
    code, out, _ = run(capsys, "models", "--zoo", "mini", "--json", "-")
    listed = json.loads(out)["models"]
    assert code == 0
    assert len(listed) >= 10
    assert set(listed[0]) == {"name", "zoo", "architecture", "task", "layers"}
    everything = json.loads(run(capsys, "models", "--json", "-")[1])["models"]
    assert "vgg19_bn" in [entry["name"] for entry in everything]


def test_models_shows_one_networks_layers_with_shapes(capsys):
    _, out, _ = run(capsys, "models", "edges", "--json", "-")
    result = json.loads(out)
    assert result["encoder"] in result["layers"]
    assert all(len(shape) == 3 for shape in result["layers"].values())
    _, out, _ = run(capsys, "models", "vgg11", "--json", "-")
    assert json.loads(out)["layers"]["classifier.6"] == [1000]


def test_rank_models_writes_the_promised_json(capsys, folder):
    code, out, err = run(
        capsys, "rank-models", "--target", "edges", "--sources", "corners,denoising",
        "--probe", str(folder), "--recipe", "paper", "--lam", "0.5", "--json", "-",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert "corners" in err  # the table goes to stderr
    assert result["target"] == {"model": "edges", "layer": "encoder"}
    assert result["recipe"] == RECIPES["paper"].replace(lam=0.5).to_dict()
    assert result["probe"]["images"] == 5
    for row in result["ranking"]:
        assert set(row) == {"rank", "model", "score", "node", "edge"}
        assert row["score"] == pytest.approx(row["node"] + 0.5 * row["edge"], abs=1e-6)
    assert [row["rank"] for row in result["ranking"]] == [1, 2]


def test_rank_models_by_several_estimators_gives_one_fused_ranking(capsys, tmp_path):
    classes = tmp_path / "classes.npy"
    np.save(classes, np.arange(12) % 3)
    code, out, err = run(
        capsys, "rank-models", "--target", "edges", "--sources", "corners,denoising,jigsaw",
        "--images", "12", "--estimators", "depara,cka_linear,knn,leep", "--labels", str(classes),
        "--json", "-",
    )  # fmt: skip
    result = json.loads(out)
    assert code == 0
    assert "leep: needs probabilities" in err
    assert list(result["estimators"]) == ["depara", "cka_linear", "knn", "leep"]
    cells = result["estimators"]
    for row in result["fused"]:
        ranks = [cells[name]["models"][row["model"]]["rank"] for name in cells]
        assert ranks[-1] is None  # leep has no classifier to look at
        expected = sum(1 / rank for rank in ranks[:-1]) / 3
        assert row["mean_reciprocal_rank"] == pytest.approx(expected)
    plain = run(
        capsys, "rank-models", "--target", "edges", "--sources", "corners,denoising,jigsaw",
        "--images", "12", "--json", "-",
    )  # fmt: skip
    for row in json.loads(plain[1])["ranking"]:
        value = cells["depara"]["models"][row["model"]]["value"]
        assert value == pytest.approx(row["score"], abs=1e-6)


def test_rank_models_defaults_to_the_rest_of_the_zoo(capsys, folder):
    _, out, _ = run(
        capsys, "rank-models", "--target", "edges", "--probe", str(folder), "--json", "-"
    )
    listed = json.loads(run(capsys, "models", "--zoo", "mini", "--json", "-")[1])["models"]
    ranked = {row["model"] for row in json.loads(out)["ranking"]}
    assert ranked == {entry["name"] for entry in listed} - {"edges"}


def test_rank_layers_writes_json_to_a_file_and_a_curve(capsys, folder, tmp_path):
    target, plot = tmp_path / "out.json", tmp_path / "curve.svg"
    code, out, _ = run(
        capsys, "rank-layers", "--target", "edges", "--source", "corners", "--probe", str(folder),
        "--json", str(target), "--plot", str(plot),
    )  # fmt: skip
    result = json.loads(target.read_text())
    assert code == 0
    assert "best layer" in out
    assert result["best"] == result["ranking"][0]["layer"]
    assert result["names"][0] == "stem"
    assert plot.read_text().lstrip().startswith("<?xml")


def test_rank_layers_takes_a_network_of_another_architecture_and_size(capsys, folder):
    _, out, _ = run(
        capsys, "rank-layers", "--target", "edges", "--source", "vgg11=random:0", "--layers",
        "features.2,features.5", "--probe", str(folder), "--images", "3", "--json", "-",
    )  # fmt: skip
    result = json.loads(out)
    assert result["recipe"]["grid"] == 32
    assert {row["layer"] for row in result["ranking"]} == {"features.2", "features.5"}


def test_rank_layers_says_how_certain_the_choice_is(capsys, folder):
    code, out, _ = run(
        capsys, "rank-layers", "--target", "edges", "--source", "cifar_resnet20=random:0",
        "--layers", "stem,layer1.0,layer2.0", "--probe", "photographs:probe[:30]",
        "--resamples", "40", "--json", "-",
    )  # fmt: skip
    result = json.loads(out)
    certainty = result["certainty"]
    assert (code, certainty["resamples"], certainty["level"]) == (0, 40, 0.95)
    assert list(certainty["layers"]) == result["names"] == ["stem", "layer1.0", "layer2.0"]
    scores = {row["layer"]: row["score"] for row in result["ranking"]}
    for layer, row in certainty["layers"].items():
        assert row["low"] < row["high"]
        assert row["low"] - 0.3 < scores[layer] < row["high"] + 0.3  # a bootstrap has some bias
    assert sum(row["best_in"] for row in certainty["layers"].values()) == pytest.approx(1)
    _, out, _ = run(
        capsys, "rank-layers", "--target", "edges", "--source", "corners", "--probe", str(folder),
        "--layers", "stem", "--resamples", "0", "--json", "-",
    )  # fmt: skip
    assert json.loads(out)["certainty"] is None
    # Among resamples of five images are some with two distinct ones, which have one edge.
    code, out, _ = run(
        capsys, "rank-layers", "--target", "edges", "--source", "corners", "--probe", str(folder),
        "--layers", "stem",
    )  # fmt: skip
    assert code == 0
    assert "how certain the choice is cannot be said: certainty of a choice: the edges of a" in out


def test_rank_layers_takes_either_side_of_the_target(capsys, folder):
    """Its most compact features (the paper), or its logits (the authors' code)."""
    found = {}
    for options in (
        ("--target-side", "encoder"), ("--target-side", "logits"), ("--target-layer", "fc")
    ):  # fmt: skip
        _, out, _ = run(
            capsys, "rank-layers", "--target", "cifar_resnet20=random:1", "--source", "corners",
            "--layers", "stem,block2", "--probe", str(folder), "--resamples", "0", "--json", "-",
            *options,
        )  # fmt: skip
        found[options] = json.loads(out)
    encoder, logits, named = found.values()
    assert [r["target"]["layer"] for r in (encoder, logits, named)] == ["avgpool", "fc", "fc"]
    assert [r["recipe"]["target_side"] for r in (encoder, logits)] == ["encoder", "logits"]
    assert logits["ranking"] == named["ranking"]
    assert logits["ranking"] != encoder["ranking"]
    code, _, error = run(
        capsys, "rank-layers", "--target", "edges", "--source", "corners", "--probe", str(folder),
        "--target-side", "logits",
    )  # fmt: skip
    assert code == 2
    assert "'edges' has none" in error


def test_graph_saves_its_arrays(capsys, folder, tmp_path):
    path = tmp_path / "graph.npz"
    code, out, _ = run(
        capsys, "graph", "edges", "--layer", "block2", "--probe", str(folder), "--json", "-",
        "--output", str(path),
    )  # fmt: skip
    result, arrays = json.loads(out), np.load(path)
    assert code == 0
    assert result["nodes"]["shape"] == [5, 32 * 32 * 3] == list(arrays["nodes"].shape)
    assert arrays["edges"].shape == (10,)
    assert arrays["ids"].tolist() == [f"{i}.png" for i in range(5)]
    assert arrays["probe"].item() == result["probe"]["fingerprint"]
    assert (arrays["model"].item(), arrays["layer"].item()) == ("edges", "block2")
    assert json.loads(arrays["recipe"].item()) == result["recipe"]
    assert result["strongest"][0]["edge"] == pytest.approx(float(arrays["edges"].max()))


def test_demo_ranks_and_draws(capsys, tmp_path):
    code, out, _ = run(
        capsys, "demo", "--images", "12", "--output", str(tmp_path / "out"), "--json", "-"
    )
    result = json.loads(out)
    assert code == 0
    assert result["models"]["best"] == result["layers"]["source"]
    for path in result["pictures"].values():
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    # The numbers behind the pictures, in the form that `evaluate` and `plot` read.
    matrix = load_matrix(result["results"])
    assert matrix.values.shape == (17, 17)
    assert set(matrix.provenance["networks"]) == set(matrix.rows or ())
    assert matrix.provenance["seconds"] > 0


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--target", "edgs"], "unknown model 'edgs'; did you mean 'edges'"),
        (["--target", "edges", "--sources", "cornrs"], "did you mean 'corners'"),
        (["--target", "edges", "--sources", ","], "names no network"),
        (["--target", "edges", "--sources", "corners,corners"], "corners more than once"),
        (
            ["--target", "edges", "--sources", "corners,mini/corners", "--estimators", "knn"],
            "corners more than once",
        ),
        (["--target", "edges", "--zoo", "huge"], "unknown zoo 'huge'"),
        (["--target", "edges", "--recipe", "papr"], "did you mean 'paper'"),
        (["--target", "edges", "--recipe", "depara-layer-upstream"], "experiments/fidelity"),
        (["--target", "edges", "--lam", "-1"], "lam"),
        (["--target", "edges", "--lam", "nan"], "lam"),
        (["--target", "edges", "--grid", "0"], "grid"),
        (["--target", "edges", "--batch-size", "0"], "--batch-size"),
        (["--target", "vgg19_bn"], "needs weights"),
        (["--target", "vgg19_bn=nowhere.safetensors"], "nowhere.safetensors"),
        (["--target", "vgg19_bn=random:x"], "seed must be a whole number"),
        (["--target", "vgg11=random:\u00b2"], "seed must be a whole number"),
        (["--target", "vgg11=random:\u0663"], "seed must be a whole number"),
        (["--target", "vgg11=random:99999999999999999999"], "below 2**32"),
        (["--target", "vgg99=random:0"], "unknown architecture 'vgg99'"),
        (["--target", "taskonomy/curvature"], "needs weights"),
        (["--target", "edges", "--probe", "no/such/folder"], "no/such/folder"),
        (["--target", "edges", "--probe", "photographs:nothing"], "nothing"),
        (["--target", "edges", "--images", "2"], "at least 3"),
        (["--target", "edges", "--images", "99999"], "99999"),
        (["--target", "edges", "--estimators", "depara,logmee"], "did you mean 'logme'"),
        (["--target", "edges", "--estimators", "knn", "--labels", "no.npy"], "no.npy"),
        (["--target", "edges", "--labels", "folders"], "uses no labels"),
        (["--target", "edges", "--json", "no/such/folder/x.json"], "cannot write"),
    ],
)
def test_rank_models_refuses_bad_input_in_one_line(capsys, argv, words):
    assert words in refused(capsys, "rank-models", *argv)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--source", "corners", "--layers", "blok1"], "did you mean 'block1'"),
        (["--source", "corners", "--target-layer", "encodr"], "did you mean 'encoder'"),
        (["--source", "corners", "--recipe", "depara-layer"], "has none; name a target layer"),
        (["--source", "corners", "--plot", "curve.txt"], "curve.txt"),
        (["--source", "corners", "--layers", ","], "--layers ',' names nothing"),
        (["--source", "corners", "--resamples", "-1"], "--resamples must be at least 0"),
        (
            ["--source", "corners", "--target-side", "encoder", "--target-layer", "stem"],
            "not both",
        ),
    ],
)
def test_rank_layers_refuses_bad_input_in_one_line(capsys, folder, argv, words):
    assert words in refused(
        capsys, "rank-layers", "--target", "edges", "--probe", str(folder), *argv
    )


def test_graph_refuses_bad_input_in_one_line(capsys, folder):
    probe = ["--probe", str(folder)]
    assert "did you mean 'block1'" in refused(capsys, "graph", "edges", "--layer", "blck1", *probe)
    assert "ends in .npz" in refused(capsys, "graph", "edges", "--output", "x.csv", *probe)


def test_a_weights_file_that_is_cut_off_is_refused(capsys, tmp_path):
    path = tmp_path / "cut.safetensors"
    path.write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    assert "cut.safetensors" in refused(capsys, "graph", f"vgg11={path}")


def test_identical_images_are_refused_not_ranked(capsys, tmp_path):
    np.save(tmp_path / "same.npy", np.full((4, 32, 32, 3), 90, np.uint8))
    line = refused(
        capsys, "rank-models", "--target", "edges", "--probe", str(tmp_path / "same.npy")
    )
    assert "do not tell the probe images apart" in line


def test_a_folder_in_the_way_of_the_demo_is_refused(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    line = refused(capsys, "demo", "--output", str(tmp_path / "file"))
    assert "cannot make this folder" in line


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--target", "edgs"], "did you mean 'edges'"),
        (["--recipe", "depara-layer"], "choose another --recipe"),
        (["--recipe", "papr"], "did you mean 'paper'"),
        (["--images", "99999"], "99999"),
    ],
)
def test_the_demo_makes_no_folder_for_bad_input(capsys, tmp_path, argv, words):
    assert words in refused(capsys, "demo", "--output", str(tmp_path / "out"), *argv)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help_with_json(capsys, verb):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert len(text) > 300


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["rank-modles"], "depara: argument VERB: invalid choice: 'rank-modles'"),
        (["rank-models"], "depara rank-models: the following arguments are required: --target"),
        (["plot", "pr", "--nothing"], "depara plot pr: "),
        (["graph", "edges", "--images", "x"], "depara graph: argument --images: invalid int"),
    ],
)
def test_bad_options_are_one_line(capsys, argv, line):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(line)
    assert err.endswith("--help)\n")


def test_without_a_verb_the_help_is_on_stderr(capsys):
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert "rank-models" in err


@pytest.mark.parametrize(
    "argv",
    [
        ["models", "--json", "/proc/x.json"],
        ["models", "--json", "n" * 300],
        ["graph", "edges", "--output", "/proc/x.npz"],
        ["rank-layers", "--target", "edges", "--source", "corners", "--plot", "/proc/p.png"],
        ["plot", "heatmap", "--similarity", "x.npy", "--output", "/proc/p.png"],
    ],
)
def test_unwritable_outputs_are_refused_before_the_work(capsys, argv):
    assert "cannot write there" in refused(capsys, *argv)


def test_json_goes_into_a_pipe_of_the_shell():
    depara = f"{sys.executable} -c 'from depara_jax.cli.main import entry_point; entry_point()'"
    done = subprocess.run(
        ["bash", "-c", f"{depara} models --zoo mini --json >(cat >&2) >/dev/null; wait $!"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stderr)["models"]


@pytest.mark.parametrize("names", [["a[/b].png", "[red]x.png", "c:smile:.png"]])
def test_names_are_shown_as_they_are(capsys, folder, tmp_path, names):
    for i, name in enumerate(names):
        path = tmp_path / "[bold]" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((folder / f"{i}.png").read_bytes())
    code, out, err = run(capsys, "graph", "edges", "--probe", str(tmp_path / "[bold]"))
    assert (code, err) == (0, "")
    assert "[bold]" in out
    assert all(name in out for name in names)
    code, out, _ = run(
        capsys, "rank-models", "--target", "edges", "--sources", "corners",
        "--probe", str(tmp_path / "[bold]"),
    )  # fmt: skip
    assert code == 0
    assert "[bold]" in "".join(out.split())


def test_the_console_script_runs_and_says_its_version():
    done = subprocess.run(
        [sys.executable, "-c", "from depara_jax.cli.main import entry_point; entry_point()",
         "--version"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("depara_jax ")
