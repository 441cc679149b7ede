"""What a stage's begin does to weights and optimizer, once."""

import itertools

import keras
import numpy as np
import pytest
from conftest import make_config
from test_train import assert_equal_runs

from smartgrowth.experiment import make_experiment
from smartgrowth.optim import optimizers, stage_restart
from smartgrowth.optim.rates import GroupRates, RateTables
from smartgrowth.optim.stage_restart import NOISE, SHRINK
from smartgrowth.runs import checkpoint
from smartgrowth.training import lr_finder, train


@pytest.fixture(params=["sgd", "adamw"])
def trained(request):
    """An optimizer that has seen gradients, and its weight, float32 (4000,)."""
    weight = keras.Variable(np.linspace(-1, 1, 4000), dtype="float32")
    optimizer = optimizers.make_optimizer(
        request.param, 0.0, [weight], loss_scale=False
    )
    optimizer.install_tables(
        RateTables(
            np.full(20, 0.01), np.full(20, 0.9), (GroupRates(1.0, (5,)),)
        )
    )
    for _ in range(5):
        step(optimizer, weight)
    return optimizer, weight


def step(optimizer, weight, gradient=1.0) -> float:
    """One update by a constant gradient; how far the weight came."""
    before = np.array(weight)
    optimizer.apply([np.full(4000, gradient, np.float32)])
    return float(np.mean(before - np.array(weight)))


def test_moments_are_reset_and_the_weights_stay(trained):
    optimizer, weight = trained
    before = np.array(weight)
    assert all(
        np.abs(np.array(m)).min() > 0
        for m in itertools.chain(*optimizer.moments)
    )
    stage_restart.reset_moments(optimizer, [weight], np.random.default_rng(0))
    assert all(
        np.abs(np.array(m)).max() == 0
        for m in itertools.chain(*optimizer.moments)
    )
    np.testing.assert_array_equal(np.array(weight), before)
    assert int(optimizer.iterations) == 5


def test_after_a_reset_a_step_is_as_long_as_the_first_was(trained):
    """Adam's bias correction begins anew with its moments."""
    optimizer, weight = trained
    fresh = keras.Variable(np.zeros(4000), dtype="float32")
    first = optimizers.make_optimizer(
        "adamw" if "adam" in optimizer.name else "sgd",
        0.0,
        [fresh],
        loss_scale=False,
    )
    first.install_tables(RateTables(np.full(20, 0.01), np.full(20, 0.9)))
    stage_restart.reset_moments(optimizer, [weight], np.random.default_rng(0))
    for _ in range(6):
        assert step(optimizer, weight, 0.3) == pytest.approx(
            step(first, fresh, 0.3), rel=1e-3
        )


def test_weights_are_shrunk_and_perturbed(trained):
    optimizer, weight = trained
    before = np.array(weight)
    stage_restart.shrink_and_perturb(
        optimizer, [weight], np.random.default_rng(0)
    )
    noise = np.array(weight) - SHRINK * before
    assert noise.std() == pytest.approx(NOISE, rel=0.05)
    assert abs(noise.mean()) < NOISE / 10
    assert all(
        np.abs(np.array(m)).max() == 0
        for m in itertools.chain(*optimizer.moments)
    )


@pytest.fixture
def stop_at(monkeypatch):
    """Makes training stop after the n-th checkpoint at a step."""
    save = checkpoint.save

    def arrange(step, times):
        left = [times]

        def save_then_stop(directory, arrays, facts, best=False, **how):
            save(directory, arrays, facts, best, **how)
            left[0] -= facts["step"] == step
            if not left[0]:
                left[0] = -1
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", save_then_stop)

    yield arrange


RESTARTED = {
    "model": "mlp",
    "lr": "auto:stage",
    "stage_restart": "shrink_perturb",
    "ema": 0.9,
    "deterministic": True,
}


def find_at_once(monkeypatch) -> None:
    """Rates are searched, and found, in three steps."""
    monkeypatch.setattr(lr_finder, "STEPS", {"sgd": 3, "adamw": 3})
    monkeypatch.setattr(lr_finder, "choose_rate", lambda *_: 0.01)


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory):
    """The directory of a run of two stages that was never stopped."""
    directory = tmp_path_factory.mktemp("restarted") / "whole"
    with pytest.MonkeyPatch.context() as monkeypatch:
        find_at_once(monkeypatch)
        return train.train(
            make_experiment(make_config(directory, **RESTARTED), tiny_data)
        )


@pytest.mark.parametrize("times", [1, 2])
def test_a_resumed_run_restarts_its_stage_once(
    tiny_config, tiny_data, whole, stop_at, monkeypatch, times
):
    """Stopped before the restart, and between it and the first step."""
    find_at_once(monkeypatch)
    config = tiny_config(**RESTARTED)
    stop_at(4, times)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    assert_equal_runs(whole, train.train(make_experiment(config, tiny_data)))


def test_a_restart_changes_what_follows_and_nothing_before(
    tiny_config, tiny_data, tmp_path
):
    logs = []
    for how in ("none", "momentum"):
        config = tiny_config(
            workdir=str(tmp_path / how),
            stage_restart=how,
            deterministic=True,
            model="mlp",
        )
        directory = train.train(make_experiment(config, tiny_data))
        lines = (directory / "log.csv").read_text().splitlines()
        logs.append([line.split(",")[8] for line in lines])  # train_loss
    assert logs[0][1] == logs[1][1]
    assert logs[0][-1] != logs[1][-1]
