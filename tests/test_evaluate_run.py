"""A finished run is judged again, and leaves figures that agree."""

import csv
import json
import shutil

import numpy as np
import pytest
from absl import flags
from conftest import make_config
from PIL import Image

from smartgrowth import UserError, command_line, main, modes
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import Config
from smartgrowth.data import registry
from smartgrowth.evaluation import evaluate_run
from smartgrowth.metrics.calibration import expected_calibration_error
from smartgrowth.metrics.confusion import confusion_matrix
from smartgrowth.runs import files


@pytest.fixture(scope="module")
def evaluated(tiny_run, tiny_source, tiny_store, tmp_path_factory):
    """A copy of a run after --mode=evaluate, and what was returned."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(tiny_run, run)
    for name in ("predictions.npz", "hard_validation.csv"):
        (run / name).unlink()
    known = registry.fingerprint
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(registry.DATASETS, "tiny", lambda *_: tiny_source)
        patch.setattr(
            registry,
            "fingerprint",
            lambda name, *rest: (
                tiny_source.fingerprint
                if name == "tiny"
                else known(name, *rest)
            ),
        )
        # As a user asks: no flag of the training repeated.
        config = make_config(
            run,
            dataset="glyphs",
            cache_dir=str(tiny_store.parents[1]),
            grow_size=(32,),
            stage_steps=(1,),
        )
        return run, evaluate_run.evaluate_run(config)


def predictions(run):
    with np.load(run / "predictions.npz") as arrays:
        return dict(arrays)


def test_the_plain_figures_are_those_of_training(evaluated):
    run, found = evaluated
    metrics = json.loads((run / "metrics.json").read_text())
    assert found["images"] == 20
    assert found["image_size"] == 24
    assert found["accuracy"] == pytest.approx(metrics["val_accuracy"], abs=1e-9)
    assert found["top5"] == pytest.approx(metrics["val_top5"], abs=1e-9)
    assert found["loss"] == pytest.approx(metrics["val_loss"], rel=1e-3)
    plain = found["variants"]["plain"]
    assert plain["accuracy"] == found["accuracy"]
    assert (plain["gain"], plain["cost"], plain["passes"]) == (0, 1, 1)


def test_the_file_holds_what_was_returned(evaluated):
    run, found = evaluated
    text = (run / "evaluation.json").read_text()
    assert json.loads(text) == found
    # Rows of the matrix are lines.
    assert len(text.splitlines()) < 250


def test_the_predictions_are_written_again_and_give_the_same_figures(
    evaluated, tiny_run, tiny_data
):
    run, found = evaluated
    after, before = predictions(run), predictions(tiny_run)
    labels, probabilities = after["labels"], after["probabilities"]
    np.testing.assert_array_equal(labels, tiny_data.validation.labels)
    assert tuple(after["ids"]) == tiny_data.validation.ids
    np.testing.assert_allclose(
        probabilities, before["probabilities"], atol=1e-4
    )
    matrix = confusion_matrix(labels, probabilities.argmax(axis=1), 4)
    assert found["confusion_matrix"] == matrix.tolist()
    assert found["calibration_error"] == pytest.approx(
        expected_calibration_error(probabilities, labels), abs=1e-5
    )
    right = {row["class"]: row["accuracy"] * 5 for row in found["by_class"]}
    for label, name in enumerate(found["classes"]):
        assert right[name] == pytest.approx(matrix[label, label])


def test_the_hard_list_of_the_validation_images_is_refreshed(
    evaluated, tiny_run
):
    run, found = evaluated

    def wrong(directory):
        with (directory / "hard_validation.csv").open(newline="") as file:
            return [row["image"] for row in csv.DictReader(file)]

    assert set(wrong(run)) == set(wrong(tiny_run))
    assert len(wrong(run)) == round(20 * (1 - found["accuracy"]))
    # Pictures of those, if there are any.
    assert (run / "hard_validation.png").exists() == bool(wrong(run))


def test_every_variant_has_its_passes_cost_and_gain(evaluated):
    _, found = evaluated
    variants = found["variants"]
    assert list(variants)[2] == "flip, shifts"
    passes = [row["passes"] for row in variants.values()]
    assert passes == [1, 2, 6, 1, 2, 6]
    for row in variants.values():
        gain = row["accuracy"] - found["accuracy"]
        assert row["gain"] == pytest.approx(gain, abs=1e-9)
        assert row["gain_margin"] >= 0
        assert row["images_per_second"] > 0
    assert variants["flip, shifts"]["cost"] == 6
    # A convolution costs as the pixels do, 32 px to 24 px.
    assert variants["32 px"]["cost"] == pytest.approx((32 / 24) ** 2, rel=0.05)


def test_the_table_has_a_line_for_every_variant(evaluated):
    _, found = evaluated
    lines = evaluate_run.table(found).splitlines()
    assert lines[0].startswith(
        f"20 validation images at 24 px: accuracy {found['accuracy']:.2%}, "
    )
    for name, row in found["variants"].items():
        [line] = [line for line in lines if line.startswith(f"{name}  ")]
        assert f"{row['accuracy']:.2%}" in line
        assert f"{row['cost']:.1f}x" in line


def test_the_table_shows_top5_only_of_more_than_five_classes(evaluated):
    _, found = evaluated
    assert len(found["classes"]) == 4
    first, *_ = evaluate_run.table(found).splitlines()
    accuracy = f"accuracy {found['accuracy']:.2%}, "
    assert f"{accuracy}loss " in first
    six = found | {"classes": list("abcdef"), "top5": 0.875}
    first, *_ = evaluate_run.table(six).splitlines()
    assert f"{accuracy}top-5 87.50%, loss " in first


def test_the_report_shows_the_variants(evaluated):
    run, _ = evaluated
    page = (run / "report.html").read_text()
    assert "Test-time augmentation" in page
    assert "<td>flip, shifts</td>" in page


def test_the_margin_is_of_what_changed_between_paired_images():
    """Of four images one was mended: changes 1, 0, 0, 0."""
    labels = np.array([0, 0, 0, 0])
    plain = np.eye(2)[[1, 0, 0, 1]]
    voted = np.eye(2)[[0, 0, 0, 1]]
    found = evaluate_run.gain(voted, plain, labels)
    assert found["gain"] == 0.25
    assert found["gain_margin"] == pytest.approx(1.96 * (3 / 16 / 4) ** 0.5)


def test_classes_that_are_others_now_are_named(
    tiny_config, tiny_dataset, tiny_run, tmp_path
):
    run = shutil.copytree(tiny_run, tmp_path / "copy")
    names = (run / "classes.txt").read_text()
    (run / "classes.txt").write_text(names.replace("sun", "sea"))
    with pytest.raises(UserError, match="classes.txt names other.*--dataset"):
        evaluate_run.evaluate_run(
            tiny_config(workdir=str(run), cache_dir=tiny_dataset)
        )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("content", "other classes, images or labels"),
        ("pixels", "other images under the same names"),
    ],
)
def test_images_that_are_others_now_are_named(
    tiny_config, tiny_dataset, tiny_run, tmp_path, name, words
):
    """Added to a folder, some of its training images may be validation's."""
    run = shutil.copytree(tiny_run, tmp_path / "copy")
    plan = json.loads((run / files.PLAN).read_text())
    plan["identity"][name] = "of other images"
    (run / files.PLAN).write_text(json.dumps(plan))
    before = (run / files.PREDICTIONS).read_bytes()
    with pytest.raises(UserError, match=f"{words} now, .*--data_dir"):
        evaluate_run.evaluate_run(
            tiny_config(workdir=str(run), cache_dir=tiny_dataset)
        )
    assert (run / files.PREDICTIONS).read_bytes() == before


def test_a_folder_without_a_run_and_an_unfinished_run_are_named(
    tiny_config, tiny_run, tmp_path
):
    with pytest.raises(UserError, match="--workdir=.*no holds no run"):
        evaluate_run.evaluate_run(tiny_config(workdir=str(tmp_path / "no")))
    run = shutil.copytree(tiny_run, tmp_path / "copy")
    (run / files.METRICS).unlink()
    with pytest.raises(UserError, match="not finished; give its training"):
        evaluate_run.evaluate_run(tiny_config(workdir=str(run)))


def test_a_missing_list_of_classes_is_named(tiny_config, tiny_run, tmp_path):
    run = shutil.copytree(tiny_run, tmp_path / "copy")
    (run / "classes.txt").unlink()
    with pytest.raises(UserError, match="classes.txt is malformed .*delete"):
        evaluate_run.evaluate_run(tiny_config(workdir=str(run)))


@pytest.fixture
def moved(tiny_data, tiny_config, tmp_path):
    """A run on a folder of images, which was moved since: its new place."""
    from smartgrowth.data.load import open_data
    from smartgrowth.experiment import make_experiment
    from smartgrowth.training.train import train

    folder = tmp_path / "images"
    images = tiny_data.validation.images(24)
    for split in ("train", "validation"):
        for number, image in enumerate(images[:8]):
            path = folder / split / "ab"[number % 2] / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image + (split == "train")).save(path)
    config = tiny_config(
        dataset=f"folder:{folder}",
        cache_dir=str(tmp_path / "cache"),
        grow_size=(16,),
        stage_steps=(1,),
        batch_size=(4,),
        evals=1,
    )
    train(make_experiment(config, open_data(config)))
    return folder.rename(tmp_path / "elsewhere")


def test_a_folder_that_was_moved_is_found_by_the_flag(
    moved, tiny_config, tmp_path
):
    """Given on the command line; without it the old place is named."""
    place = {"cache_dir": str(tmp_path / "cache")}
    with pytest.raises(UserError, match="images"):
        evaluate_run.evaluate_run(tiny_config(**place))
    found = evaluate_run.evaluate_run(tiny_config(**place), f"folder:{moved}")
    assert found["images"] == 8
    # Relative to the folder that is given, not to the run's.
    data_dir = {"data_dir": str(moved.parent)}
    again = evaluate_run.evaluate_run(
        tiny_config(**place | data_dir), f"folder:{moved.name}"
    )
    assert again["accuracy"] == found["accuracy"]
    (moved / "train" / "a" / "0.png").unlink()
    with pytest.raises(UserError, match="other classes, images or labels now"):
        evaluate_run.evaluate_run(tiny_config(**place), f"folder:{moved}")
    with pytest.raises(UserError, match="--dataset=glyphs: .*on folder"):
        evaluate_run.evaluate_run(tiny_config(**place), "glyphs")


@pytest.mark.parametrize("given", [None, "folder:b"])
def test_only_a_dataset_that_is_given_replaces_the_run_s(monkeypatch, given):
    called = []
    monkeypatch.setattr(modes, "evaluate", lambda *rest: called.append(rest))
    values = flags.FlagValues()
    command_line.define_flags(values, Config, Comparison)
    values(["main", "--mode=evaluate", *([f"--dataset={given}"] * bool(given))])
    monkeypatch.setattr(flags, "FLAGS", values)
    assert main.main(["main"]) == 0
    [(_, dataset)] = called
    assert dataset == given
