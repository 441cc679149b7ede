"""A finished run's network computes the same in other formats, or is refused."""

import dataclasses
import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import make_config

from smartgrowth import UserError, modes
from smartgrowth.command_line import from_flag_lines
from smartgrowth.evaluation import export, export_formats
from smartgrowth.evaluation.saved_model import load_model
from smartgrowth.models.network import Network

HAS_ONNX = all(
    importlib.util.find_spec(package)
    for package in export_formats.FORMATS["onnx"].packages
)


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy of a finished run, which a test may change."""
    return shutil.copytree(tiny_run, tmp_path / "copy")


@pytest.fixture
def make(run, tiny_dataset):
    """Exports it, as a user asks: no flag of the training repeated."""

    def make(*formats, **overrides) -> dict:
        config = make_config(
            run,
            mode="export",
            cache_dir=tiny_dataset,
            dataset="glyphs",
            format=formats,
            **overrides,
        )
        return export.export_run(config)

    return make


@pytest.fixture
def load_otherwise(monkeypatch):
    """Makes a format's runtime do something else: `change` gets its logits."""

    def load_otherwise(name, change):
        form = export_formats.FORMATS[name]

        def load(path):
            forward = form.load(path)
            return lambda images: change(forward(images))

        changed = dataclasses.replace(form, load=load)
        monkeypatch.setitem(export_formats.FORMATS, name, changed)

    return load_otherwise


def listed(folder: pathlib.Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def images_of(data) -> np.ndarray:
    return data.validation.images(24)[data.validation.rows].astype(np.float32)


def in_a_new_process(code: str, images: np.ndarray, folder) -> np.ndarray:
    """Runs code that makes `logits` of `images`, without this package."""
    np.save(folder / "images.npy", images)
    lines = (
        "import sys, numpy as np",
        'images = np.load("images.npy")',
        code,
        'assert "smartgrowth" not in sys.modules',
        'np.save("logits.npy", logits)',
    )
    subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return np.load(folder / "logits.npy")


def check_logits(found: np.ndarray, run, images: np.ndarray) -> None:
    expected = load_model(run, 4).predict_on_batch(images)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


# What is written


def test_the_files_give_the_labels_of_the_run_without_this_package(
    make, run, tiny_data, capsys
):
    summary, folder = make("tflite", "saved_model"), run / "export"
    assert listed(folder) == [
        *("classes.txt", "export.json", "model.tflite", "saved_model")
    ]
    assert json.loads((folder / "export.json").read_text()) == summary
    assert summary["input"]["shape"] == ["batch", 24, 24, 3]
    assert summary["output"]["shape"] == ["batch", 4]
    names = (folder / "classes.txt").read_text().splitlines()
    assert tuple(names) == tiny_data.class_names
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("format       file  ")
    for line, name in zip(lines[1:3], ("model.tflite", "saved_model")):
        row = summary["files"][name]
        assert row["largest_difference"] < 1e-5
        assert row["images_compared"] == 20
        assert line.split() == [
            row["format"],
            name,
            f"{row['megabytes']:.1f}",
            f"{row['largest_difference']:.1e}",
            f"{row['milliseconds']:.2f}",
        ]
    assert lines[3] == f"exported: {folder}"
    images = images_of(tiny_data)
    found = in_a_new_process(
        "import tensorflow as tf\n"
        'model = tf.saved_model.load("saved_model")\n'
        "whole = model.serve(images).numpy()\n"
        'interpreter = tf.lite.Interpreter("model.tflite")\n'
        "run = interpreter.get_signature_runner()\n"
        'single = [run(image=image[None])["output_0"] for image in images]\n'
        "logits = [whole, np.concatenate(single)]",
        images,
        folder,
    )
    for logits in found:
        check_logits(logits, run, images)


@pytest.mark.skipif(not HAS_ONNX, reason="needs smartgrowth[onnx]")
def test_onnxruntime_gives_the_labels_of_the_run(make, run, tiny_data):
    make("onnx")
    images = images_of(tiny_data)
    found = in_a_new_process(
        "import onnxruntime\n"
        'session = onnxruntime.InferenceSession("model.onnx")\n'
        '[logits] = session.run(None, {"image": images})\n'
        'assert "tensorflow" not in sys.modules',
        images,
        run / "export",
    )
    check_logits(found, run, images)


def test_the_accuracy_of_rounded_weights_is_written(make, run, capsys):
    make("tflite")
    summary = make("tflite", quantize=True)
    folder = run / "export"
    assert {"model.tflite", "model_quantized.tflite"} < {*listed(folder)}
    # What was exported before is still described.
    whole, rounded = summary["files"].values()
    assert rounded["megabytes"] < 0.6 * whole["megabytes"]
    assert rounded["largest_difference"] > whole["largest_difference"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert rounded["final_accuracy"] == pytest.approx(metrics["val_accuracy"])
    assert rounded["accuracy"] == pytest.approx(
        metrics["val_accuracy"], abs=0.1
    )
    assert "accuracy" not in whole
    assert (
        f"{rounded['accuracy']:.2%} (final.keras: "
        f"{rounded['final_accuracy']:.2%})"
    ) in capsys.readouterr().out


def test_the_images_that_the_run_was_least_sure_of_are_compared(
    run, tiny_data, monkeypatch
):
    monkeypatch.setattr(export, "COMPARED", 3)
    chosen = export.uncertain_images(run, tiny_data)
    with np.load(run / "predictions.npz") as arrays:
        probabilities, ids = arrays["probabilities"], arrays["ids"]
    best = np.sort(probabilities, axis=1)
    order = np.argsort(best[:, -1] - best[:, -2], kind="stable")
    assert list(chosen.ids) == ids[order[:3]].tolist()


@pytest.mark.parametrize("name", ["lenet5", "mlp"])
def test_networks_with_a_fixed_grid_are_exported_too(name, tmp_path):
    network = Network(name, 4, width=2, depth=1)
    model = network.build([120.0] * 3, [3000.0] * 3, stock=True)
    images = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3))
    images = images.astype(np.float32)
    expected = model.predict_on_batch(images)
    forward = export_formats.write(
        export_formats.fix_size(model, 24),
        export_formats.FORMATS["tflite"],
        tmp_path / "model.tflite",
    )
    np.testing.assert_allclose(forward(images), expected, atol=1e-4)


# What is refused


@pytest.mark.parametrize(
    ("change", "figure"),
    [(lambda logits: logits * 1.1, r"0\.\d+"), (np.log, "nan")],
)
def test_a_file_that_computes_something_else_is_not_kept(
    make, run, load_otherwise, change, figure
):
    load_otherwise("tflite", change)
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(
            UserError, match=f"--format=tflite: .* by {figure} .* than 0.001"
        ),
    ):
        make("tflite")
    assert listed(run / "export") == []


def test_a_format_that_cannot_hold_the_network_is_named_in_one_line(
    make, run, load_otherwise
):
    def fail(logits):
        raise AssertionError("not reached")

    load_otherwise("tflite", fail)
    form = export_formats.FORMATS["tflite"]
    broken = dataclasses.replace(form, options={"no_such_option": 1})
    export_formats.FORMATS["tflite"] = broken
    with pytest.raises(
        UserError, match="--format=tflite: .*no_such_option"
    ) as e:
        make("tflite")
    assert "\n" not in str(e.value)
    assert listed(run / "export") == []


def test_a_stopped_export_leaves_what_was_there(make, run, load_otherwise):
    make("saved_model")
    folder = run / "export"
    before = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    # As a killed process would leave it.
    (folder / ".partial_1234abcd_model.tflite").write_bytes(b"half")

    def stop(logits):
        raise KeyboardInterrupt

    load_otherwise("saved_model", stop)
    with pytest.raises(KeyboardInterrupt):
        make("saved_model")
    after = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    assert after == before


def test_a_second_export_replaces_the_first(make, run):
    make("saved_model")
    mark = run / "export" / "saved_model" / "of_the_first"
    mark.touch()
    make("saved_model")
    assert not mark.exists()
    assert listed(run / "export") == [
        *("classes.txt", "export.json", "saved_model")
    ]


@pytest.mark.parametrize("package", ["tf2onnx", "onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_extra(monkeypatch, package):
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == package else name,
    )
    with pytest.raises(UserError) as caught:
        export_formats.choose(("saved_model", "onnx"), quantize=False)
    assert str(caught.value) == (
        f"--format=onnx: the package {package} is not installed; "
        "pip install 'smartgrowth[onnx]'"
    )


def test_an_unfinished_run_is_named(make, run):
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished; give its training"):
        make("saved_model")


def test_jax_is_named_before_it_is_imported(tiny_config, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=jax: .*TensorFlow"):
        modes.export(tiny_config(mode="export"), None)


def test_formats_are_a_list():
    config = from_flag_lines(
        ["--mode=export", "--format=onnx,tflite", "--quantize"]
    )
    assert config.format == ("onnx", "tflite")
    chosen = export_formats.choose(("tflite", "tflite"), quantize=True)
    assert [form.file for form in chosen] == ["model_quantized.tflite"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--mode=export --format=tflite,coreml",
            "--format=tflite,coreml: every value must be one of saved_model, "
            "tflite, onnx, got coreml",
        ),
        (
            "--mode=export --quantize",
            "--quantize with --format=saved_model: it belongs to "
            "--format=tflite",
        ),
        (
            "--format=tflite",
            "--format with --mode=train: it belongs to --mode=export",
        ),
        (
            "--mode=predict --quantize",
            "--quantize with --mode=predict: it belongs to --mode=export",
        ),
    ],
)
def test_a_wrong_flag_is_one_line(flags, message):
    with pytest.raises(UserError) as caught:
        from_flag_lines(flags.split())
    assert str(caught.value) == message
