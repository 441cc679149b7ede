"""The average follows every weight, and changes nothing of the training."""

import json
import types

import keras
import numpy as np
import pytest
from conftest import make_config

from smartgrowth.experiment import make_experiment
from smartgrowth.models.network import Network
from smartgrowth.optim import ema, losses, optimizers
from smartgrowth.optim.rates import RateTables
from smartgrowth.runs import checkpoint
from smartgrowth.runs.files import RAW_COLUMNS
from smartgrowth.runs.reader import read_run
from smartgrowth.runtime import devices
from smartgrowth.training import train
from smartgrowth.training.compile_model import compile_model

DECAY, RESET = 0.8, 6


@pytest.fixture
def model():
    """A compiled network with batch norm, and its averages."""
    keras.utils.set_random_seed(0)
    plain = Network("resnet", 3, width=8, depth=1).build([128] * 3, [1e4] * 3)
    model = ema.EMAModel(plain.input, plain.output)
    optimizer = optimizers.make_optimizer(
        "sgd", 0.0, model.trainable_variables, loss_scale=False
    )
    optimizer.install_tables(RateTables(np.full(9, 0.1), np.full(9, 0.9)))
    model.compile(optimizer=optimizer, loss=losses.masked_crossentropy)
    ema.WeightEMA(model, optimizer, DECAY, resets=(RESET,))
    return model


def learn(model, steps):
    random = np.random.default_rng(0)
    for _ in range(steps):
        images = random.integers(0, 256, (4, 16, 16, 3), np.uint8)
        targets = np.eye(3, dtype=np.float32)[random.integers(0, 3, 4)]
        model.train_on_batch(images, targets)
        yield


def values(variables):
    return [np.array(variable) for variable in variables]


def assert_follows(model, expected, steps: int) -> None:
    """The averages, `expected` before, follow the weights for some steps."""
    for count, _ in enumerate(learn(model, steps), start=1):
        decay = min(DECAY, (1 + count) / (10 + count))
        expected = [
            decay * average + (1 - decay) * weight
            for average, weight in zip(
                expected, values(model.variables), strict=True
            )
        ]
        found = values(model.ema.averages)
        for average, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(average, wanted, rtol=1e-4, atol=1e-6)


def test_the_average_is_of_every_weight_and_statistic_after_each_step(model):
    expected = values(model.variables)
    assert len(model.ema.averages) == len(expected)
    assert_follows(model, expected, steps=6)
    names = [variable.path for variable in model.ema.weights]
    assert any("moving_variance" in name for name in names)


def test_after_a_reset_the_average_follows_as_quickly_as_at_first(model):
    list(learn(model, RESET))
    model.ema.reset()
    expected = values(model.variables)
    assert_follows(model, expected, steps=3)


def test_soon_after_a_late_reset_little_is_left_of_it():
    """At a decay of 0.999, 300 steps after it."""
    weight = keras.Variable(1.0)
    optimizer = optimizers.make_optimizer(
        "sgd", 0.0, [weight], loss_scale=False
    )
    model = types.SimpleNamespace(variables=[weight])
    average = ema.WeightEMA(model, optimizer, 0.999, resets=(5000,))
    weight.assign(0.0)
    for step in range(300):
        optimizer.iterations.assign(5001 + step)
        average.update()
    [left] = values(average.averages)
    # The product of (1 + n) / (10 + n) over n = 1 to 300.
    assert left < 1e-9


@pytest.mark.parametrize(
    ("how", "resets"),
    [("shrink_perturb", (4,)), ("momentum", ()), ("none", ())],
)
def test_the_average_begins_anew_where_the_weights_do(
    tiny_config, tiny_data, how, resets
):
    config = tiny_config(model="mlp", ema=DECAY, stage_restart=how)
    compiled = compile_model(
        make_experiment(config, tiny_data),
        devices.find_machine(),
        "float32",
        synchronized=False,
    )
    assert compiled.ema.resets == resets


def test_the_average_is_in_place_only_while_it_is_asked_for(model):
    list(learn(model, 3))
    before = values(model.variables)
    averages = values(model.ema.averages)
    with pytest.raises(ZeroDivisionError), model.ema.swap_weights():
        for weight, average in zip(model.variables, averages, strict=True):
            np.testing.assert_array_equal(np.array(weight), average)
        raise ZeroDivisionError
    for weight, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(np.array(weight), value)
    assert any((a != b).any() for a, b in zip(before, averages, strict=True))


@pytest.fixture(scope="module")
def averaged_run(tiny_data, tmp_path_factory):
    """`tiny_run` again, with averages."""
    directory = tmp_path_factory.mktemp("averaged") / "run"
    return train.train(
        make_experiment(make_config(directory, ema=DECAY), tiny_data)
    )


def test_a_training_is_the_same_whether_it_is_averaged_or_not(
    tiny_run, averaged_run
):
    plain, averaged = (read_run(p).log for p in (tiny_run, averaged_run))
    for raw, name in zip(
        RAW_COLUMNS, ("val_loss", "val_accuracy"), strict=True
    ):
        np.testing.assert_allclose(averaged[raw], plain[name], rtol=1e-4)
    np.testing.assert_allclose(
        averaged["train_loss"], plain["train_loss"], rtol=1e-4
    )
    assert plain["raw_val_loss"].isna().all()


def test_the_average_is_what_is_validated_and_kept(averaged_run):
    log, metrics = (
        read_run(averaged_run).log,
        json.loads((averaged_run / "metrics.json").read_text()),
    )
    assert metrics["val_loss"] == pytest.approx(log["val_loss"].iloc[-1], 1e-4)
    assert metrics["raw_val_loss"] == pytest.approx(
        log["raw_val_loss"].iloc[-1], 1e-4
    )
    assert metrics["val_loss"] != pytest.approx(metrics["raw_val_loss"], 1e-3)
    arrays, _ = checkpoint.load(averaged_run / "checkpoints")
    model = keras.saving.load_model(averaged_run / "final.keras", compile=False)
    averages = [
        array for name, array in arrays.items() if name.endswith("/average")
    ]
    for weight, average in zip(model.variables, averages, strict=True):
        np.testing.assert_array_equal(np.array(weight), average)
