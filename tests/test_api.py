"""The program in a Python session, with the user's networks and callbacks."""

import os
import pathlib

import keras
import numpy as np
import pandas
import pytest

import smartgrowth
from smartgrowth import UserError, api, modes
from smartgrowth.comparison import csv_tables
from smartgrowth.runtime import surroundings
from smartgrowth.training.run_log import RunLog

# As `tiny_config`, by keywords.
SETTINGS = {
    "dataset": "tiny",
    "grow_size": [16, 24],
    "stage_steps": "4,4",
    "batch_size": 8,
    "width": 8,
    "depth": 1,
    "precision": "float32",
    "evals": np.int64(2),
}


def network(num_classes, width, depth):
    """As one that is defined in a notebook."""
    images = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(width, 3, 2, padding="same")(images)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, keras.layers.Dense(num_classes)(x))


@pytest.fixture
def settings(tiny_dataset, tmp_path):
    return SETTINGS | {"cache_dir": tiny_dataset, "workdir": tmp_path / "run"}


class Listener(keras.callbacks.Callback):
    """Notes all that it is told."""

    def __init__(self):
        super().__init__()
        self.told, self.rows = [], []

    def on_train_begin(self, logs=None):
        self.told.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.told.append(("from", epoch))

    def on_train_batch_end(self, batch, logs=None):
        assert isinstance(logs["loss"], float)
        self.told.append(batch)

    def on_epoch_end(self, epoch, logs=None):
        self.told.append(("to", epoch))
        self.rows.append(dict(logs))

    def on_train_end(self, logs=None):
        self.told.append("end")


class StopAt(keras.callbacks.Callback):
    def __init__(self, step):
        super().__init__()
        self.step = step

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.step:
            self.model.stop_training = True


@pytest.mark.core
def test_a_run_is_trained_stopped_by_a_callback_and_finished(settings):
    listener = Listener()
    stopped = smartgrowth.train(
        callbacks=[listener, StopAt(4)], model=network, **settings
    )
    assert listener.told == ["begin", ("from", 0), 0, 1, 2, 3, ("to", 4)]
    assert not stopped.finished and stopped.figures == {}
    assert "not finished" in repr(stopped)
    with pytest.raises(UserError, match="has no model yet"):
        _ = stopped.model
    listener = Listener()
    run = smartgrowth.train(
        callbacks=[listener, StopAt(8)], model=network, **settings
    )
    batches = [each for each in listener.told if isinstance(each, int)]
    assert batches == [4, 5, 6, 7]
    assert listener.told[0] == "begin" and listener.told[-1] == "end"
    assert run.finished, "what is over is not stopped"
    log = run.log
    assert isinstance(log, pandas.DataFrame)
    assert log["step"].tolist()[-1] == 8
    for row in listener.rows:
        (kept,) = log[log["step"] == row["step"]].to_dict("records")
        assert kept["val_accuracy"] == row["val_accuracy"]
    assert run.plan.stages["image_size"].tolist() == [16, 24]
    assert run.plan.gflops == pytest.approx(log["gflops"].iloc[-1], 1e-5)
    assert run.figures["val_accuracy"] == log["val_accuracy"].iloc[-1]
    logits = run.model.predict(np.zeros((1, 24, 24, 3)), verbose=0)
    assert logits.shape == (1, 4)
    again = smartgrowth.load_run(str(settings["workdir"]))
    assert again == run and "finished" in repr(again)


def test_callbacks_are_begun_though_the_disk_refuses_the_log(tmp_path):
    """Which is a warning, and comes with the next row."""
    listener = Listener()
    log = RunLog(tmp_path, tensorboard=False, steps=8, own=[listener])

    def refuse(rows):
        raise OSError("full")

    log.csv.restore = refuse
    model = network(4, 8, 1)
    with pytest.raises(OSError, match="full"):
        log.begin(model, [])
    assert listener.told == ["begin"] and listener.model is model


def test_keras_own_callbacks_work_unchanged(settings, tmp_path):
    run = smartgrowth.train(
        callbacks=[
            keras.callbacks.TensorBoard(tmp_path / "board", write_graph=False),
            keras.callbacks.EarlyStopping("val_loss", patience=9),
            keras.callbacks.CSVLogger(tmp_path / "own.csv"),
        ],
        **settings | {"stage_steps": [1, 1]},
    )
    assert run.finished
    assert list((tmp_path / "board").rglob("events*"))
    own = pandas.read_csv(tmp_path / "own.csv")
    assert own["epoch"].tolist() == run.log["step"].tolist()


def test_a_plan_is_that_of_the_command(settings, monkeypatch):
    shown = []
    plan = smartgrowth.plan(**settings)
    monkeypatch.setattr(modes, "say", lambda text="": shown.append(text))
    modes.plan(api._config(settings, ()))
    assert repr(plan) == shown[0]
    assert plan.stages["steps"].tolist() == [4, 4]


def test_a_flagfile_comes_first(settings, tmp_path):
    path = tmp_path / "mine.flags"
    path.write_text("--width=4\n--stage_steps=2,2\n")
    del settings["stage_steps"]
    plan = smartgrowth.plan(flagfile=path, **settings)
    assert plan.stages["steps"].tolist() == [2, 2]
    assert plan.description["identity"]["width"] == 8


@pytest.mark.parametrize(
    ("keywords", "part"),
    [
        ({"grow_sizes": [16]}, "did you mean grow_size?"),
        ({"mode": "plan"}, "mode: there is no such flag here"),
        ({"lr": -1}, "--lr=-1.0: must be a number above 0"),
        ({"width": "wide"}, "--width=wide: must be a whole"),
        ({"grow_size": [20]}, "image size 20 does not suit --model=resnet"),
        ({"model": "resnet9"}, "--model=resnet9 is unknown"),
        ({"flagfile": "none.flags"}, "none.flags cannot be read"),
    ],
)
def test_mistakes_are_the_commands_messages(settings, keywords, part):
    with pytest.raises(UserError) as error:
        smartgrowth.train(**settings | keywords)
    assert part in str(error.value)
    (line,) = error.value._render_traceback_()
    assert line == f"error: {error.value}"


def test_what_is_no_run_is_named(tmp_path):
    with pytest.raises(UserError, match=str(tmp_path)):
        smartgrowth.load_run(tmp_path)


def test_arms_may_be_dictionaries(settings, monkeypatch):
    """The comparison itself has tests of its own."""
    called = []

    def compare(config, comparison, lines):
        called.append((config, comparison, lines))
        table = pandas.DataFrame({"arm": ["plain"]})
        table.to_csv(settings["workdir"] / csv_tables.RUNS, index=False)

    monkeypatch.setattr(modes, "compare", compare)
    shared = settings["workdir"].parent / "shared.flags"
    shared.write_text("--lr=0.1\n")
    arms = {
        "plain": {"grow_size": 16},
        "grown": {"flagfile": shared, "grow_size": [8, 16]},
    }
    del settings["grow_size"]
    compared = smartgrowth.compare(
        arms=arms, seeds=3, budgets=[0.5, 1], **settings
    )
    ((config, comparison, lines),) = called
    assert comparison.seeds == 3 and comparison.budgets == (0.5, 1)
    names = [pathlib.Path(path).name for path in comparison.arms]
    assert names == ["plain.flags", "grown.flags"]
    written = pathlib.Path(comparison.arms[1]).read_text()
    assert written == f"--flagfile={shared}\n--grow_size=8,16\n"
    assert config.workdir == str(settings["workdir"])
    assert "--width=8" in lines
    assert compared.runs["arm"].tolist() == ["plain"]
    with pytest.raises(UserError, match="not there yet"):
        _ = compared.arms


def test_a_function_is_no_network_of_other_processes(settings):
    with pytest.raises(UserError, match="model='FILE.py:FUNCTION'"):
        smartgrowth.compare(arms={"mine": {"model": network}}, **settings)


def test_a_keras_that_is_set_up_otherwise_is_refused(monkeypatch):
    monkeypatch.setattr(
        keras.config, "image_data_format", lambda: "channels_first"
    )
    with pytest.raises(UserError, match="image_data_format=channels_first"):
        surroundings.settle(own_process=False)


def test_plots_of_the_users_stay_theirs(monkeypatch):
    monkeypatch.setenv("MPLBACKEND", "module://theirs")
    api._settle()
    assert os.environ["MPLBACKEND"] == "module://theirs"


def test_the_package_names_its_functions():
    assert {"train", "plan", "compare", "load_run"} <= set(smartgrowth.__all__)
    assert smartgrowth.train is api.train
    with pytest.raises(AttributeError, match="no attribute 'trains'"):
        _ = smartgrowth.trains
