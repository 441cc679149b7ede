"""What is exported computes what the run does, or is refused."""

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
from smartgrowth.flags.essentials import FORMATS
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
    output = capsys.readouterr().out.splitlines()
    # Without progress, which is indented.
    lines = [line for line in output if not line.startswith(" ")]
    assert lines[0].startswith("format       file  ")
    for line, name in (
        (lines[1], "model.tflite"),
        (lines[2], "saved_model"),
    ):
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


def test_a_file_that_computes_something_else_is_not_kept(
    make, run, monkeypatch
):
    form = export_formats.FORMATS["tflite"]

    def load(path):
        forward = form.load(path)
        return lambda images: 1.1 * forward(images)

    changed = dataclasses.replace(form, load=load)
    monkeypatch.setitem(export_formats.FORMATS, "tflite", changed)
    words = r"--format=tflite: .* by 0\.\d+ .*final.keras, more than 0.001"
    with pytest.raises(UserError, match=words):
        make("tflite")
    assert listed(run / "export") == []


def test_what_is_no_number_differs_too():
    images, expected = np.zeros((2, 8, 8, 3)), np.full((2, 4), 0.25)
    form = export_formats.FORMATS["onnx"]
    found = export.compare(
        form, lambda i: np.ones((len(i), 4)), images, expected
    )
    assert found["largest_difference"] == 0
    with pytest.raises(UserError, match="--format=onnx: .* by nan"):
        export.compare(
            form, lambda i: np.full((len(i), 4), np.nan), images, expected
        )


def test_what_a_converter_refuses_is_one_line(model, tmp_path):
    form = dataclasses.replace(
        export_formats.FORMATS["saved_model"], keras_name="no such"
    )
    with pytest.raises(UserError, match="--format=saved_model: ") as caught:
        export_formats.write(model, form, tmp_path / "saved_model")
    assert "\n" not in str(caught.value)


@pytest.fixture
def folder(tmp_path):
    """An exported folder, to be replaced."""
    folder = tmp_path / "export" / "saved_model"
    folder.mkdir(parents=True)
    (folder / "old").touch()
    return folder


def test_a_second_export_replaces_the_first(folder):
    with export.replace_path(folder) as partial:
        partial.mkdir()
        (partial / "new").touch()
        assert listed(folder) == ["old"]
    assert listed(folder) == ["new"]
    assert listed(folder.parent) == ["saved_model"]


def test_a_stopped_export_leaves_what_was_there(folder):
    with (
        pytest.raises(KeyboardInterrupt),
        export.replace_path(folder) as partial,
    ):
        partial.mkdir()
        (partial / "new").touch()
        raise KeyboardInterrupt
    assert listed(folder) == ["old"]
    assert listed(folder.parent) == ["saved_model"]


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


def test_a_damaged_description_is_named_with_the_way_out(make, run):
    path = run / "export" / "export.json"
    path.parent.mkdir()
    path.write_text('{"files": []}')
    words = "export.json is malformed .*delete it, and give --mode=export"
    with pytest.raises(UserError, match=words):
        make("saved_model")


def test_an_unfinished_run_is_named(make, run):
    (run / "metrics.json").unlink()
    with pytest.raises(UserError, match="not finished; give its training"):
        make("saved_model")


def test_jax_is_named_before_it_is_imported(tiny_config, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    with pytest.raises(UserError, match="KERAS_BACKEND=jax: .*TensorFlow"):
        modes.export(tiny_config(mode="export"), None)


def test_formats_are_a_list():
    assert tuple(export_formats.FORMATS) == FORMATS
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
