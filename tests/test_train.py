"""The driver: what a run leaves behind, and that stopping changes nothing."""

import csv
import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np
import pytest
from conftest import make_config

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.curriculum import choose, descriptors
from smartgrowth.data import pipeline
from smartgrowth.data.augment import policy
from smartgrowth.evaluation import evaluator, results
from smartgrowth.experiment import make_experiment
from smartgrowth.metrics import scores
from smartgrowth.report.write import write_report
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs.finished import load_config
from smartgrowth.runs.reader import read_run
from smartgrowth.runtime import scratch
from smartgrowth.training import callbacks, checkpointing, learner, train
from smartgrowth.training.checkpointing import CheckpointManager

# With JAX, Keras' layers draw from a state of their own.
SEEDED_LAYERS = (
    ("keras:RandomErasing",) if keras.backend.backend() == "tensorflow" else ()
)
SECONDS = ("train_seconds", "wall_seconds")


def read_log(directory: pathlib.Path) -> list[dict]:
    with (directory / "log.csv").open() as file:
        return list(csv.DictReader(file))


def without_seconds(rows: list[dict]) -> list[dict]:
    return [
        {key: value for key, value in row.items() if key not in SECONDS}
        for row in rows
    ]


def last_arrays(directory: pathlib.Path) -> dict:
    """Weights and optimizer of the newest checkpoint."""
    arrays, _ = checkpoint.load(directory / "checkpoints")
    return {
        name: value
        for name, value in arrays.items()
        if not name.startswith("metrics/")
    }


def assert_equal_runs(one: pathlib.Path, other: pathlib.Path) -> None:
    assert without_seconds(read_log(one)) == without_seconds(read_log(other))
    first, second = last_arrays(one), last_arrays(other)
    assert first.keys() == second.keys()
    for name in first:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


# Two sizes, classes and samples that grow; a checkpoint every step.
GROWN = {
    "grow_size": (16, 24),
    "grow_classes": (2, None),
    "grow_samples": (3, None),
    "stage_steps": (9, 8),
    "batch_size": (4,),
    "evals": 3,
    "augment": ("basic",),
    "deterministic": True,
    "checkpoint_minutes": 1e-9,
}


@pytest.fixture
def grown_config(tiny_config):
    """Makes the settings of such a run in this test's own folder."""
    return lambda **overrides: tiny_config(**GROWN | overrides)


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory) -> pathlib.Path:
    """The directory of one that was never stopped: look, do not touch."""
    directory = tmp_path_factory.mktemp("grown") / "whole"
    return train.train(
        make_experiment(make_config(directory, report=True, **GROWN), tiny_data)
    )


@pytest.fixture
def finished(whole, tiny_config) -> Config:
    """The settings of a copy of the finished run."""
    config = tiny_config(report=True, **GROWN)
    shutil.copytree(whole, config.workdir)
    return config


@pytest.mark.core
def test_a_run_leaves_what_the_contract_says(whole, tiny_data):
    rows = read_log(whole)
    assert tuple(rows[0]) == files.LOG_COLUMNS
    steps = [int(row["step"]) for row in rows]
    assert steps[-1] == 17 and 9 in steps and steps == sorted(set(steps))
    for row in rows:
        first_stage = int(row["step"]) <= 9
        assert row["stage"] == ("0" if first_stage else "1")
        assert row["image_size"] == ("16" if first_stage else "24")
        assert row["num_classes"] == (
            "2" if first_stage else str(len(tiny_data.class_names))
        )
    names = {path.name for path in whole.iterdir()}
    assert names >= {
        "flags.txt",
        "plan.json",
        "log.csv",
        "checkpoints",
        "final.keras",
        "classes.txt",
        "predictions.npz",
        "metrics.json",
        "report.html",
        "data_report.json",
    }
    assert not [name for name in names if "partial" in name]
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["val_accuracy"] == pytest.approx(
        float(rows[-1]["val_accuracy"]), rel=1e-5
    )
    assert len(metrics["stage_seconds"]) == 2
    assert metrics["train_seconds"] == sum(metrics["stage_seconds"])
    plan = json.loads((whole / "plan.json").read_text())
    assert metrics["gflops"] == pytest.approx(plan["gflops"])
    assert float(rows[-1]["gflops"]) == pytest.approx(plan["gflops"], rel=1e-5)
    with np.load(whole / "predictions.npz") as predictions:
        hits = predictions["probabilities"].argmax(1) == predictions["labels"]
        assert hits.mean() == pytest.approx(metrics["val_accuracy"])
        assert list(predictions["ids"]) == list(tiny_data.validation.ids)


@pytest.mark.core
def test_iterations_never_restart_and_count_every_step(whole):
    arrays = last_arrays(whole)
    (clock,) = [v for k, v in arrays.items() if k.endswith("/iteration")]
    assert clock == 17


@pytest.mark.core
def test_the_first_stage_learns_nothing_about_absent_classes(
    grown_config, tiny_data, stop_after
):
    config = grown_config(weight_decay=0.0)
    stop_after(9)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    trained = last_arrays(pathlib.Path(config.workdir))
    (bias,) = [v for k, v in trained.items() if k.endswith("/bias")]
    entered = make_experiment(config, tiny_data).class_order[:2]
    absent = np.setdiff1d(np.arange(len(bias)), entered)
    assert np.all(bias[entered] != 0)
    assert np.all(bias[absent] == 0)


@pytest.mark.core
@pytest.mark.parametrize("step", [3, 9, 12])
def test_a_run_stopped_at_a_step_ends_like_one_that_was_not(
    grown_config, tiny_data, whole, stop_after, step, capsys
):
    """In the middle of a segment, at a stage's end, in the second stage."""
    cut = grown_config()
    stop_after(step)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    capsys.readouterr()
    train.train(make_experiment(cut, tiny_data))
    stage = 1 if step < 9 else 2
    assert (
        f"resuming at step {step} of 17, stage {stage} of 2"
        in capsys.readouterr().out
    )
    assert_equal_runs(whole, pathlib.Path(cut.workdir))


def test_the_rate_follows_its_cycles_through_a_resume_and_a_boundary(
    grown_config, tiny_data, stop_after, monkeypatch
):
    """As the optimizer reads it: cosines of 5, 5 and 7 steps."""
    read = {}
    look = callbacks.StepCallback.on_train_batch_end

    def look_and_go_on(clock, batch, logs=None):
        # The clock counts this batch: what is read is the next one's rate.
        optimizer = clock.model.optimizer
        read[int(optimizer.iterations)] = float(optimizer.learning_rate)
        look(clock, batch, logs)

    monkeypatch.setattr(
        callbacks.StepCallback, "on_train_batch_end", look_and_go_on
    )
    config = grown_config(model="mlp", schedule="sgdr", cycle_len=5, lr=0.02)
    stop_after(7)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    assert 7 in read and 17 not in read
    stop_after(None)
    train.train(make_experiment(config, tiny_data))
    parts = [np.arange(n) / (n - 1) for n in (5, 5, 7)]
    rates = 0.01 * (1 + np.cos(np.pi * np.concatenate(parts)))
    found = [read[step] for step in range(1, 17)]
    np.testing.assert_allclose(found, rates[1:], atol=1e-8)


def test_sizes_in_turn_go_on_as_if_they_had_not_stopped(
    grown_config, tiny_data, tmp_path, stop_after
):
    paths = [tmp_path / "whole", tmp_path / "cut"]
    whole, cut = (
        grown_config(model="cnn", workdir=str(path), size_jitter=(1.0, 1.5))
        for path in paths
    )
    train.train(make_experiment(whole, tiny_data))
    stop_after(12)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    train.train(make_experiment(cut, tiny_data))
    assert_equal_runs(*paths)


def test_a_resumed_run_keeps_the_orders_that_it_had(
    grown_config, tiny_data, stop_after, monkeypatch
):
    """Also where the descriptions, made anew, come out otherwise."""
    config = grown_config(
        model="mlp", sample_order="iconic", class_order="far_first"
    )
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    stop_after(None)
    monkeypatch.setattr(descriptors, "describe", None)
    directory = train.train(make_experiment(config, tiny_data))
    assert read_log(directory)[-1]["step"] == "17"


def test_hard_images_of_a_run_are_shown_in_the_next(
    grown_config, tiny_data, whole, monkeypatch
):
    config = grown_config(model="mlp", replay_hard=f"{whole}:0.5")
    wrong = choose.hard_images(config, tiny_data)
    shown = {}
    make = pipeline.make_batches

    def look(data, stage, images, classes, **settings):
        shown[stage.index] = (stage.replay, settings["hard"], images)
        return make(data, stage, images, classes, **settings)

    monkeypatch.setattr(pipeline, "make_batches", look)
    train.train(make_experiment(config, tiny_data))
    assert [shown[index][0] for index in (0, 1)] == [0.0, 0.5]
    for _, hard, images in shown.values():
        # No image enters before its stage.
        assert set(hard) == set(wrong) & set(images)


def test_one_model_trains_on_several_shapes_compiled_once_each(
    grown_config, tiny_data, monkeypatch
):
    """Each shape is traced as it is: none is relaxed to an unknown one."""
    traced = []
    step = keras.Model.train_step

    def look(self, *arguments):  # with JAX, the state comes before the data
        traced.append(tuple(arguments[-1][0].shape))
        return step(self, *arguments)

    monkeypatch.setattr(keras.Model, "train_step", look)
    train.train(
        make_experiment(
            grown_config(model="cnn", size_jitter=(1.0, 1.0, 1.5)), tiny_data
        )
    )
    sizes = [shape[1] for shape in traced]
    # 16 and 24 px, then 24 and 36, the nearest that the network takes: 32.
    assert sorted(sizes) == [16, 24, 24, 32]


def test_a_resumed_run_sees_the_same_augmentation(
    grown_config, tiny_data, tmp_path, stop_after, capsys
):
    """Strong, mixed, and with a stock layer whose seeds are the batch's."""
    settings = {
        "augment": ("strong", *SEEDED_LAYERS),
        "mixup": 0.3,
        "cutmix": 0.3,
        "label_smoothing": 0.1,
        "grow_augment": (0.5, 1.0),
    }
    whole = grown_config(workdir=str(tmp_path / "whole"), **settings)
    train.train(make_experiment(whole, tiny_data))
    cut = grown_config(workdir=str(tmp_path / "cut"), **settings)
    stop_after(12)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    train.train(make_experiment(cut, tiny_data))
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    assert policy.NOT_REPRODUCIBLE not in capsys.readouterr().out


def test_a_run_that_cannot_be_repeated_says_so(
    grown_config, tiny_data, capsys, monkeypatch
):
    """Before it begins."""
    monkeypatch.setattr(learner.Learner, "fit", None)
    with pytest.raises(TypeError):
        train.train(
            make_experiment(
                grown_config(model="mlp", augment=("keras_cv:GridMask",)),
                tiny_data,
            )
        )
    assert policy.NOT_REPRODUCIBLE in capsys.readouterr().out


@pytest.fixture
def cut(grown_config, tiny_data, stop_after) -> Config:
    """A run that was stopped at step 3."""
    config = grown_config()
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    stop_after(None)
    return config


@pytest.mark.core
def test_a_resume_that_forgets_its_data_position_is_seen(
    cut, tiny_data, whole, monkeypatch
):
    """The control of the tests above: they would notice."""
    make_batches = pipeline.make_batches

    def from_the_stage_s_beginning(data, stage, *args, **kwargs):
        batches, start = (
            make_batches(data, stage, *args, **kwargs),
            stage.first_step,
        )
        return lambda first, last: batches(start, start + last - first)

    monkeypatch.setattr(pipeline, "make_batches", from_the_stage_s_beginning)
    train.train(make_experiment(cut, tiny_data))
    with pytest.raises(AssertionError):
        assert_equal_runs(whole, pathlib.Path(cut.workdir))


def test_a_resume_that_forgets_its_metric_sums_is_seen(
    cut, tiny_data, whole, monkeypatch
):
    monkeypatch.setattr(
        CheckpointManager, "restore_metrics", lambda manager: None
    )
    train.train(make_experiment(cut, tiny_data))
    log = [read_log(path) for path in (whole, pathlib.Path(cut.workdir))]
    first = [rows[0]["train_loss"] for rows in log]
    assert first[0] != first[1]


@pytest.mark.parametrize("named", ["step", "progress", "both"])
def test_a_manifest_of_another_step_than_its_archive_is_not_resumed(
    cut, tiny_data, whole, capsys, named
):
    """Of an earlier version, whose manifests had no digest."""
    directory = pathlib.Path(cut.workdir)
    (path,) = (directory / "checkpoints").glob("step_000000003_*.json")
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    if named in ("step", "both"):
        manifest["facts"]["step"] = 5
    if named in ("progress", "both"):
        manifest["facts"]["progress"]["step"] = 5
    path.write_text(json.dumps(manifest))
    train.train(make_experiment(cut, tiny_data))
    output = capsys.readouterr().out
    assert f"skipping the damaged checkpoint {path}: its manifest" in output
    assert "resuming at step 2 of 17" in output
    assert_equal_runs(whole, directory)


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.pop("plan"),
        lambda facts: facts.pop("progress"),
        lambda facts: facts.update(progress=[]),
        lambda facts: facts["progress"].update(other=1),
        lambda facts: facts["progress"].pop("stage_seconds"),
    ],
)
def test_facts_that_are_not_a_run_s_stop_no_resume(
    cut, tiny_data, monkeypatch, capsys, change
):
    directory = pathlib.Path(cut.workdir) / "checkpoints"
    (path,) = directory.glob("step_000000003_*.json")
    manifest = json.loads(path.read_text())
    del manifest["digest"]
    change(manifest["facts"])
    path.write_text(json.dumps(manifest))
    monkeypatch.setattr(learner.Learner, "begin", None)  # far enough
    with pytest.raises(TypeError):
        train.train(make_experiment(cut, tiny_data))
    output = capsys.readouterr().out
    assert f"skipping the damaged checkpoint {path}: its manifest" in output
    assert "resuming at step 2 of 17" in output


def start(workdir: pathlib.Path, images: pathlib.Path, cache: pathlib.Path):
    """A real process that trains for some seconds."""
    command = [
        sys.executable,
        "-m",
        "smartgrowth.main",
        f"--workdir={workdir}",
        f"--dataset=folder:{images}",
        f"--cache_dir={cache}",
        "--grow_size=16,24",
        "--grow_samples=4,all",
        "--stage_steps=60,40",
        "--batch_size=8",
        "--width=8",
        "--depth=1",
        "--lr=0.02",
        "--evals=4",
        "--deterministic",
        "--checkpoint_minutes=1e-9",
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_checkpoint(process, workdir: pathlib.Path, step: int) -> None:
    """Until one at `step` or later is whole."""
    for _ in range(6000):
        for path in (workdir / "checkpoints").glob("step_*.json"):
            if int(path.name.split("_")[1]) >= step:
                return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    raise AssertionError("no checkpoint came")


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory) -> pathlib.Path:
    """Three classes of noise around a color of their own."""
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    generator = np.random.default_rng(0)
    for name, color in {"a": 60, "b": 120, "c": 200}.items():
        (root / name).mkdir()
        for index in range(20):
            noise = generator.normal(color, 40, (24, 24, 3)).clip(0, 255)
            picture = Image.fromarray(noise.astype(np.uint8))
            picture.save(root / name / f"{index}.png")
    return root


@pytest.mark.slow
def test_sigterm_saves_before_it_stops(image_folder, tmp_path):
    """As a machine that is taken back announces itself."""
    process = start(tmp_path / "run", image_folder, tmp_path / "cache")
    wait_for_checkpoint(process, tmp_path / "run", 20)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output and "the same command goes on" in output


def test_checkpoints_come_in_time_though_segments_are_short(
    grown_config, tiny_data, monkeypatch
):
    """The clock runs on through evaluations that set no new best."""
    clock = iter(range(10**6))  # a second every time that it is asked
    monkeypatch.setattr(checkpointing.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(
        evaluator, "score", lambda *_: scores.Scores(1.0, math.nan, 0.5)
    )
    saved = []

    def save(directory, arrays, facts, best, **how):
        saved.append(facts["step"])

    monkeypatch.setattr(checkpoint, "save", save)
    config = grown_config(
        model="mlp",
        grow_size=(16,),
        grow_classes=(None,),
        grow_samples=(None,),
        stage_steps=(40,),
        evals=20,
        checkpoint_minutes=20 / 60,
    )
    train.train(make_experiment(config, tiny_data))
    assert len(saved) >= 3 and saved[-1] == 40
    gaps = np.diff([0, *saved])
    assert gaps.max() <= 20 and gaps.min() >= 2


@pytest.mark.core
def test_a_stop_during_an_evaluation_is_heard(
    grown_config, tiny_data, monkeypatch
):
    config = grown_config(model="mlp", checkpoint_minutes=60.0)
    score = scores.score

    def stop_then_score(*args):
        os.kill(os.getpid(), signal.SIGTERM)
        return score(*args)

    monkeypatch.setattr(evaluator, "score", stop_then_score)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    rows = read_log(pathlib.Path(config.workdir))
    _, facts = checkpoint.load(pathlib.Path(config.workdir) / "checkpoints")
    assert len(rows) == 1 and facts["step"] == int(rows[0]["step"])


@pytest.mark.core
def test_a_whitened_run_keeps_its_filters_to_the_end(
    grown_config, tiny_data, tmp_path, stop_after
):
    """Through a boundary, a resume and the export."""
    whole = grown_config(workdir=str(tmp_path / "whole"), whiten=True)
    train.train(make_experiment(whole, tiny_data))
    cut = grown_config(workdir=str(tmp_path / "cut"), whiten=True)
    stop_after(12)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    train.train(make_experiment(cut, tiny_data))
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    exported = keras.saving.load_model(tmp_path / "cut" / "final.keras")
    first = next(
        layer
        for layer in exported.layers
        if isinstance(layer, keras.layers.Conv2D)
    )
    kernel = keras.ops.convert_to_numpy(first.kernel)
    half = kernel.shape[-1] // 2
    np.testing.assert_array_equal(kernel[..., :half], -kernel[..., half:])


def test_float16_scales_its_loss_and_goes_on_with_the_scale(
    grown_config, tiny_data, tmp_path, stop_after
):
    # No depthwise convolution: their gradients take minutes on a CPU.
    settings = {"model": "cnn", "precision": "float16"}
    whole = grown_config(workdir=str(tmp_path / "whole"), **settings)
    train.train(make_experiment(whole, tiny_data))
    cut = grown_config(workdir=str(tmp_path / "cut"), **settings)
    stop_after(12)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(cut, tiny_data))
    stop_after(None)
    kept = last_arrays(tmp_path / "cut")
    (counted,) = [v for k, v in kept.items() if k.endswith("/counter")]
    assert counted > 0
    train.train(make_experiment(cut, tiny_data))
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_a_finished_run_gets_its_report_if_it_lacks_one(finished, tiny_data):
    page = pathlib.Path(finished.workdir) / "report.html"
    page.unlink()
    train.train(make_experiment(finished, tiny_data))
    assert page.exists()


def test_without_a_report_nothing_else_is_missing(
    finished, tiny_data, tmp_path, capsys
):
    quick = dataclasses.replace(
        finished, workdir=str(tmp_path / "quick"), report=False
    )
    for _ in range(2):  # the second one finds it finished
        train.train(make_experiment(quick, tiny_data))
        assert "finished" in capsys.readouterr().out.splitlines()[-1]
    whole = {path.name for path in pathlib.Path(finished.workdir).iterdir()}
    found = {path.name for path in pathlib.Path(quick.workdir).iterdir()}
    assert whole - found == {files.REPORT, *files.PLOTS} & whole
    assert files.REPORT in whole
    write_report(quick.workdir)
    found = {path.name for path in pathlib.Path(quick.workdir).iterdir()}
    assert found == whole


def test_a_loss_that_is_not_a_number_stops_the_run(grown_config, tiny_data):
    with pytest.raises(UserError, match="--lr"):
        train.train(
            make_experiment(grown_config(lr=1e30, model="mlp"), tiny_data)
        )


@pytest.mark.parametrize(
    ("module", "function"),
    [(checkpoint, "save"), (files, "write_log")],
)
def test_a_disk_that_is_full_for_a_while_stops_nothing(
    grown_config, tiny_data, monkeypatch, capsys, module, function
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, function, full)
    directory = train.train(
        make_experiment(grown_config(model="mlp"), tiny_data)
    )
    assert (directory / "metrics.json").exists()
    assert "No space left on device" in capsys.readouterr().out


def test_results_that_cannot_be_written_are_a_user_s_error(
    grown_config, tiny_data, monkeypatch
):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(results, "write_predictions", full)
    with pytest.raises(UserError, match="the training is kept"):
        train.train(make_experiment(grown_config(model="mlp"), tiny_data))


def refuse_writes(monkeypatch, *folders) -> None:
    """Folders below which nothing can be made any more."""
    save, write = checkpoint.save, results.write_predictions

    def check(directory):
        if any(directory.is_relative_to(folder) for folder in folders):
            raise OSError(28, "No space left on device")

    def save_if_allowed(directory, arrays, facts, best=False, **how):
        if facts["step"] > 4:  # until then there was room
            check(directory)
        save(directory, arrays, facts, best, **how)

    def write_if_allowed(directory, *args):
        check(directory)
        write(directory, *args)

    monkeypatch.setattr(checkpoint, "save", save_if_allowed)
    monkeypatch.setattr(results, "write_predictions", write_if_allowed)


@pytest.fixture
def refused(grown_config, tiny_data, tmp_path) -> Config:
    """A run whose folder took nothing from step 5 on, so it could not end."""
    config = grown_config(cache_dir=str(tmp_path / "cache"))
    with pytest.MonkeyPatch.context() as patch:
        refuse_writes(patch, config.workdir)
        with pytest.raises(UserError) as caught:
            train.train(make_experiment(config, tiny_data))
    (kept,) = (tmp_path / "cache" / "rescued").iterdir()
    assert str(caught.value).endswith(
        f"the training is kept to its last step, 17, on this machine in {kept}"
    )
    return config


def test_a_training_that_its_folder_refuses_is_kept_and_found_again(
    refused, tiny_data, whole, tmp_path, capsys, monkeypatch
):
    (kept,) = (tmp_path / "cache" / "rescued").iterdir()
    monkeypatch.setattr(learner.Learner, "fit", None)  # all is learned
    train.train(make_experiment(refused, tiny_data))
    output = capsys.readouterr().out
    assert f"takes up the checkpoint that was kept in {kept}" in output
    assert "resuming at step 17 of 17" in output
    directory = pathlib.Path(refused.workdir)
    for name in ("val_accuracy", "val_loss", "clean_train_loss"):
        found, expected = (read_run(d).metrics for d in (directory, whole))
        assert found[name] == expected[name]
    assert not kept.exists()


def test_restart_takes_up_no_training_that_was_kept(
    refused, tiny_data, tmp_path, capsys, monkeypatch
):
    anew = dataclasses.replace(refused, restart=True)
    monkeypatch.setattr(learner.Learner, "begin", None)  # far enough
    with pytest.raises(TypeError):
        train.train(make_experiment(anew, tiny_data))
    assert "resuming" not in capsys.readouterr().out
    assert list((tmp_path / "cache" / "rescued").iterdir()) == []


def test_a_training_that_was_kept_is_of_its_plan_and_folder_alone(
    refused, tiny_data, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(learner.Learner, "begin", None)  # far enough
    for change in (
        {"workdir": str(tmp_path / "other")},
        {"seed": 1},
    ):
        shutil.rmtree(refused.workdir, ignore_errors=True)
        config = dataclasses.replace(refused, **change)
        with pytest.raises(TypeError):
            train.train(make_experiment(config, tiny_data))
        assert "resuming" not in capsys.readouterr().out


def test_a_training_that_no_disk_takes_says_what_is_saved(
    grown_config, tiny_data, tmp_path, monkeypatch
):
    config = grown_config(model="mlp", cache_dir=str(tmp_path / "cache"))
    refuse_writes(monkeypatch, tmp_path)
    with pytest.raises(UserError, match="is kept to step 4 of 17$"):
        train.train(make_experiment(config, tiny_data))


def test_an_order_that_cannot_be_used_is_told_before_anything_is_deleted(
    finished, tiny_data, tmp_path
):
    (tmp_path / "list.csv").write_text("image\nnone_of_these.png\n")
    config = dataclasses.replace(
        finished, restart=True, sample_order=f"file:{tmp_path / 'list.csv'}"
    )
    directory = pathlib.Path(config.workdir)
    before = {path: path.read_bytes() for path in directory.glob("*.*")}
    with pytest.raises(UserError, match="none of its 1 images"):
        train.train(make_experiment(config, tiny_data))
    assert {p: p.read_bytes() for p in directory.glob("*.*")} == before
    assert list((directory / "checkpoints").iterdir())


def test_checkpoints_of_another_plan_are_not_taken_up(
    grown_config, tiny_data, stop_after
):
    stop_after(3)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(grown_config(model="mlp"), tiny_data))
    stop_after(None)
    (pathlib.Path(grown_config(model="mlp").workdir) / "plan.json").unlink()
    with pytest.raises(UserError, match="checkpoints of another plan"):
        train.train(
            make_experiment(grown_config(model="mlp", seed=1), tiny_data)
        )


@pytest.mark.parametrize("text", [None, "", '{"hash'])
def test_a_run_whose_plan_is_lost_goes_on(cut, tiny_data, whole, capsys, text):
    path = pathlib.Path(cut.workdir) / "plan.json"
    plan = path.read_text()
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    train.train(make_experiment(cut, tiny_data))
    output = capsys.readouterr().out
    assert f"{path} was lost or torn: it is written again" in output
    assert "resuming at step 3 of 17" in output
    assert path.read_text() == plan
    assert_equal_runs(whole, path.parent)


@pytest.mark.parametrize("step", [12, 17])
def test_a_run_whose_folder_is_deleted_in_the_middle_can_be_opened(
    grown_config, tiny_data, whole, monkeypatch, step
):
    config = grown_config(report=True)
    directory = pathlib.Path(config.workdir)
    save = checkpoint.save

    def save_then_delete(target, arrays, facts, best=False, **how):
        save(target, arrays, facts, best, **how)
        if facts["step"] == step:
            shutil.rmtree(directory)

    monkeypatch.setattr(checkpoint, "save", save_then_delete)
    train.train(make_experiment(config, tiny_data))
    for name in ("plan.json", "schedule.csv", "classes.txt"):
        assert (directory / name).read_bytes() == (whole / name).read_bytes()
    opened, kept = load_config(str(directory))
    assert (opened, kept) == (directory, config)
    run = read_run(directory)
    assert (
        run.metrics["val_accuracy"] == read_run(whole).metrics["val_accuracy"]
    )
    assert without_seconds(read_log(directory)) == without_seconds(
        read_log(whole)
    )
    names = {path.name for path in whole.iterdir()}
    # After the last step no checkpoint follows.
    absent = {"checkpoints"} if step == 17 else set()
    assert {path.name for path in directory.iterdir()} == names - absent


def test_what_killed_processes_left_is_swept_at_the_start(
    cut, tiny_data, tmp_path, monkeypatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    name = f"{scratch.PREFIX}{os.getpid()}_{platform.node()}_0a1b2c3d"
    (tmp_path / name).mkdir()
    monkeypatch.setattr(learner.Learner, "begin", None)  # far enough
    with pytest.raises(TypeError):
        train.train(make_experiment(cut, tiny_data))
    assert not (tmp_path / name).exists()


@pytest.mark.core
def test_a_finished_run_is_left_alone(finished, tiny_data, capsys):
    directory = pathlib.Path(finished.workdir)
    before = {p: p.stat().st_mtime_ns for p in directory.rglob("*.*")}
    train.train(make_experiment(finished, tiny_data))
    assert "is finished" in capsys.readouterr().out
    after = {p: p.stat().st_mtime_ns for p in directory.rglob("*.*")}
    changed = {p.name for p in before if before[p] != after.get(p)}
    assert changed <= {"flags.txt"}


def test_the_broken_rule_stops_before_training(grown_config, tiny_data):
    config = grown_config(dropout=0.1, enforce_rules=True)
    with pytest.raises(UserError, match="no dropout"):
        train.train(make_experiment(config, tiny_data))
    assert not (pathlib.Path(config.workdir) / "log.csv").exists()


def test_the_trained_model_opens_without_this_package(
    whole, tiny_data, tmp_path
):
    images = np.array(tiny_data.validation.images(24)[:5])
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np, keras\n"
        "sys.modules['smartgrowth'] = None\n"
        f"model = keras.saving.load_model({str(whole / 'final.keras')!r})\n"
        f"x = np.load({str(tmp_path / 'images.npy')!r})\n"
        "y = keras.ops.softmax(model.predict(x, verbose=0))\n"
        f"np.save({str(tmp_path / 'out.npy')!r}, np.asarray(y))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
    rows = tiny_data.validation.rows
    with np.load(whole / "predictions.npz") as predictions:
        expected = predictions["probabilities"]
    found = np.load(tmp_path / "out.npy")
    for index, row in enumerate(rows):
        if row < 5:
            np.testing.assert_allclose(found[row], expected[index], atol=2e-4)


def test_mixed_precision_keeps_float32_weights(grown_config, tiny_data):
    directory = train.train(
        make_experiment(grown_config(precision="bfloat16"), tiny_data)
    )
    arrays = last_arrays(directory)
    kinds = {v.dtype for k, v in arrays.items() if k.startswith("model/")}
    assert kinds == {np.dtype("float32")}
    assert keras.config.dtype_policy().name == "float32"


def test_tensorboard_gets_every_row_of_the_log(grown_config, tiny_data):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    directory = train.train(
        make_experiment(grown_config(model="mlp", tensorboard=True), tiny_data)
    )
    rows = read_log(directory)
    for part, column in (
        ("train", "train_loss"),
        ("train", "gflops"),
        ("validation", "val_loss"),
    ):
        board = event_accumulator.EventAccumulator(
            str(directory / "tensorboard" / part),
            {event_accumulator.TENSORS: 0},
        )
        board.Reload()
        events = board.Tensors(f"epoch_{column.removeprefix('val_')}")
        assert [event.step for event in events] == [
            int(row["step"]) for row in rows
        ]
        assert [
            float(tensor_util.make_ndarray(event.tensor_proto))
            for event in events
        ] == pytest.approx([float(row[column]) for row in rows], rel=1e-5)


def test_tensorboard_that_is_missing_is_named(
    grown_config, tiny_data, monkeypatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "tensorboard" else find(name),
    )
    config = grown_config(tensorboard=True)
    with pytest.raises(UserError, match="pip install tensorboard"):
        train.train(make_experiment(config, tiny_data))
    assert not pathlib.Path(config.workdir).exists()
