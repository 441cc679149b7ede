"""The range test: what it reads off a curve, and that it leaves no trace."""

import csv
import json
import pathlib
import threading

import keras
import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.experiment import make_experiment
from smartgrowth.flags.training import DEFAULT_RATES
from smartgrowth.optim import optimizers
from smartgrowth.optim.rates import RateTables
from smartgrowth.runs import checkpoint, files, identity
from smartgrowth.training import (
    learner,
    lr_curve,
    lr_finder,
    rate_search,
    train,
)
from smartgrowth.training.compile_model import group_variables
from smartgrowth.training.lr_curve import Curve

RATES = lr_finder.rising_rates(1e-5, 1.0, 100)
USED = next(iter(lr_curve.SUGGESTIONS))


def values_of(variables) -> dict[str, np.ndarray]:
    """Copies: an array may share its memory with the variable."""
    collected = checkpoint.collect(variables)
    return {name: np.array(value) for name, value in collected.items()}


def make_curve(losses, rates=RATES) -> Curve:
    losses = np.asarray(losses, np.float64)
    rates = np.asarray(rates)[: len(losses)]
    return Curve(rates, losses, lr_curve.smooth(losses), 1.0)


def valley_of_losses(noise=0.0, seed=0, size=2.0):
    """Flat to 1e-4, falling to 1e-2, rising from there."""
    x = np.log10(RATES)
    losses = 3 - size * np.clip((x + 4) / 2, 0, 1) + np.clip(x + 2, 0, None)
    return losses + noise * np.random.default_rng(seed).normal(size=len(x))


# The curve


def test_rates_rise_by_a_constant_factor_between_the_ends():
    assert len(RATES) == 100
    assert RATES[[0, -1]] == pytest.approx([1e-5, 1.0])
    np.testing.assert_allclose(np.diff(np.log(RATES)), np.log(1e5) / 99)


def test_smoothing_is_a_moving_average_without_the_bias_of_its_start():
    assert lr_curve.smooth([2.5] * 4) == pytest.approx([2.5] * 4)
    found = lr_curve.smooth([1.0, 2.0, 4.0], beta=0.5)
    expected = [1.0, (0.25 + 1) / 0.75, (0.125 + 0.5 + 2) / 0.875]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_suggestions_lie_where_the_loss_falls(noise):
    found = lr_curve.suggest(RATES, valley_of_losses(noise))
    assert list(found) == list(lr_curve.SUGGESTIONS)
    assert 1e-4 < found["steepest"] < 2e-2
    assert 1e-4 < found["valley"] < 2e-2
    assert 1e-3 < found["tenth"] < 4e-3
    assert found["half"] == pytest.approx(5 * found["tenth"], rel=0.1)


def test_a_shifted_curve_shifts_every_suggestion():
    low = lr_curve.suggest(RATES, valley_of_losses())
    high = lr_curve.suggest(RATES * 8, valley_of_losses())
    for name, rate in low.items():
        assert high[name] == pytest.approx(8 * rate, rel=0.07)  # two digits


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_suggested_where_nothing_falls(seed):
    noise = np.random.default_rng(seed).normal(size=len(RATES))
    flat = 3 + 0.2 * noise
    rising = flat + np.clip(np.log10(RATES) + 2, 0, None)
    for losses in (flat, rising):
        assert lr_curve.suggest(RATES, losses) == {}
        assert "the loss never fell" in lr_curve.summary(make_curve(losses))


def falling(until=1.0, floor=0.0):
    """A loss that falls from 3 at a rate of 1e-4, to the floor at `until`."""
    way = np.log10(RATES / 1e-4) / np.log10(until / 1e-4)
    return 3 - (3 - floor) * np.clip(way, 0, 1)


# name -> losses at RATES that have no minimum within.
OPEN = {
    "falls to the last rate": falling(),
    # Some images, learned by heart: any higher rate does as well.
    "stays at the bottom": falling(until=0.01),
    "stays at the bottom, with noise": falling(0.01)
    + 0.01 * np.random.default_rng(0).uniform(size=len(RATES)),
    "ends while it falls": falling()[:60],
    "stays at the bottom until the last rates": falling(until=0.01)
    + np.r_[np.zeros(90), np.linspace(0.1, 1, 10)],
    "falls at the first rate alone": np.r_[
        np.full(10, 4.0), 1.0, np.linspace(3.6, 6, 89)
    ],
}


@pytest.mark.parametrize("name", OPEN)
def test_no_rate_is_read_off_a_minimum_at_an_end_of_the_range(name):
    curve = make_curve(OPEN[name])
    assert curve.fell
    assert curve.suggestions == {}
    assert "the loss has no minimum between" in lr_curve.summary(curve)


@pytest.mark.parametrize("rise", [1.0, 3.0])
def test_a_minimum_within_the_range_is_read_off_again(rise):
    """The same curve, once it rises."""
    losses = falling(until=0.01) + rise * np.clip(np.log10(RATES) + 2, 0, None)
    half = lr_curve.suggest(RATES, losses)["half"]
    assert 0.01 < 2 * half < 0.1


def test_a_loss_that_overflows_has_risen():
    losses = falling()[:80]
    assert lr_curve.suggest(RATES[:80], losses) == {}
    found = lr_curve.suggest(RATES[:80], losses, overflowed=True)
    assert found["half"] == pytest.approx(RATES[79] / 2, rel=0.05)


def test_the_first_suggestion_is_taken():
    curve = make_curve(valley_of_losses())
    for before in ([], [0.5]):
        rate = lr_finder.choose_rate(curve, before, "adamw")
        assert rate == curve.suggestions[USED]


def test_without_a_descent_the_rate_of_the_stage_before_stays():
    flat = make_curve(np.full(100, 3.0))
    assert lr_finder.choose_rate(flat, [0.5, 0.25], "adamw") == 0.25
    with pytest.raises(UserError, match="--lr=NUMBER"):
        lr_finder.choose_rate(flat, [], "adamw")


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize(
    ("optimizer", "default"), [("adamw", 0.006), ("sgd", 0.1)]
)
def test_without_a_minimum_the_default_is_taken(name, optimizer, default):
    curve = make_curve(OPEN[name])
    assert lr_finder.choose_rate(curve, [0.5, 0.25], optimizer) == 0.25
    found = lr_finder.choose_rate(curve, [], optimizer)
    assert found == pytest.approx(min(default, curve.rates[-1]))


def test_the_default_lies_within_the_rates_that_were_tested():
    losses = OPEN["stays at the bottom"]
    low, high = (make_curve(losses, RATES * factor) for factor in (1e-3, 1e4))
    assert lr_finder.choose_rate(low, [], "adamw") == pytest.approx(1e-3)
    assert lr_finder.choose_rate(high, [], "adamw") == pytest.approx(0.1)


def test_the_default_of_the_flag_is_adamws():
    assert DEFAULT_RATES[Config().optimizer] == Config().lr


def test_the_line_names_every_suggestion():
    curve = make_curve(valley_of_losses())
    line = lr_curve.summary(curve)
    for name, rate in curve.suggestions.items():
        assert f"{rate:g}" in line
        assert lr_curve.SUGGESTIONS[name] in line
    assert "100 steps in 1 s, not counted as training" in line


# The test itself

SHAPE, CLASSES, BATCH = 5, 3, 8


def make_model(policy="float32", optimizer="sgd"):
    """A linear classifier and all that its training changes."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((SHAPE,))
    x = keras.layers.BatchNormalization(dtype=policy)(inputs)
    x = keras.layers.Dense(CLASSES, dtype=policy)(x)
    outputs = keras.layers.Activation("linear", dtype="float32")(x)
    model = keras.Model(inputs, outputs)
    accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
    model.compile(
        optimizer=optimizers.make_optimizer(
            optimizer,
            0.0,
            model.trainable_variables,
            loss_scale=policy == "mixed_float16",
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=[accuracy],
        jit_compile=False,
        auto_scale_loss=False,
    )
    return model, group_variables(model, accuracy)


def make_batches(count=lr_finder.BATCHES):
    """Images of three directions, as they come from the pipeline."""
    random = np.random.default_rng(1)
    for _ in range(count):
        labels = random.integers(0, CLASSES, BATCH)
        images = random.normal(0, 0.3, (BATCH, SHAPE)).astype("float32")
        images[:, :CLASSES] += np.eye(CLASSES, dtype="float32")[labels]
        yield images, np.eye(CLASSES, dtype="float32")[labels]


def search(model, variables, rates=RATES, **settings):
    settings = {"first_step": 0} | settings
    model.make_train_function(force=True)
    return lr_finder.run_range_test(
        model, make_batches(), rates, variables=variables, **settings
    )


def fit(model, rates):
    """Some steps of training, as the driver's."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    optimizer.install_tables(RateTables(rates, np.full(len(rates), 0.9)))
    for batch in make_batches(3):
        model.train_on_batch(*batch)


@pytest.mark.parametrize(
    ("policy", "optimizer"),
    [
        ("float32", "sgd"),
        ("mixed_bfloat16", "adamw"),
        ("mixed_float16", "adamw"),
    ],
)
def test_a_test_leaves_everything_as_it_was(policy, optimizer):
    """Weights, moments, clock, loss scale, metrics: bit for bit."""
    model, variables = make_model(policy, optimizer)
    fit(model, np.full(6, 0.01))
    before = values_of(variables)
    curve = search(model, variables, first_step=3)
    assert curve.fell
    after = values_of(variables)
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    # And what goes on uses the tables that it had.
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    other, others = make_model(policy, optimizer)
    fit(other, np.full(6, 0.01))
    for each in (model, other):
        fit(each, np.full(6, 0.01))
    for name, value in values_of(others).items():
        np.testing.assert_array_equal(
            values_of(variables)[name], value, err_msg=name
        )


def test_what_is_not_put_back_is_seen(monkeypatch):
    """The control of the test above."""
    monkeypatch.setattr(checkpoint, "restore", lambda *_: None)
    model, variables = make_model()
    before = values_of(variables)
    search(model, variables)
    after = values_of(variables)
    changed = {
        name.partition("/")[0]
        for name in before
        if not np.array_equal(before[name], after[name])
    }
    assert changed == {"model", "optimizer", "metrics"}


@pytest.mark.core
@pytest.mark.parametrize("first_step", [0, 3])
def test_each_batch_is_learned_at_its_own_rate(first_step):
    """The losses are those of a training whose table holds the rates."""
    rates = RATES[:12] * 1000
    tested, variables = make_model()
    trained, _ = make_model()
    if first_step:
        for model in (tested, trained):
            fit(model, np.full(first_step, 0.01))
    losses = search(
        tested, variables, rates, first_step=first_step
    ).losses.tolist()
    table = np.concatenate([np.full(first_step, 9.0), rates])
    trained.optimizer.install_tables(
        RateTables(table, np.full(len(table), 0.9))
    )
    trained.train_function = None
    batches = list(make_batches()) * 3
    for batch, loss in zip(batches, losses, strict=True):
        trained.reset_metrics()
        logs = trained.train_on_batch(*batch, return_dict=True)
        assert logs["loss"] == pytest.approx(loss)


def test_a_test_ends_where_the_loss_diverges():
    """On labels that cannot all be learned: else no rate is too high."""
    model, variables = make_model()
    batches = [(x, np.roll(y, 1, 0) / 2 + y / 2) for x, y in make_batches()]
    curve = lr_finder.run_range_test(
        model,
        batches,
        lr_finder.rising_rates(1e-3, 1e6, 100),
        first_step=0,
        variables=variables,
    )
    assert 20 < len(curve.rates) < 100
    assert len(curve.losses) == len(curve.rates) == len(curve.smoothed)
    # It gave back half of what it had won.
    start = curve.losses[:10].mean()
    halves = (start + np.minimum.accumulate(curve.smoothed)) / 2
    assert curve.smoothed[-1] > halves[-1]


def test_a_loss_that_is_no_number_ends_a_test_and_is_no_part_of_it():
    model, variables = make_model()
    batches = list(make_batches(20))
    batches[12] = (batches[12][0] * np.nan, batches[12][1])
    before = values_of(variables)
    curve = lr_finder.run_range_test(
        model, batches, RATES, first_step=0, variables=variables
    )
    assert len(curve.rates) == 12
    assert np.all(np.isfinite(curve.losses))
    for name, value in values_of(variables).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


@pytest.mark.core
def test_a_test_that_is_stopped_leaves_everything_as_it_was():
    model, variables = make_model()
    before = values_of(variables)
    stop = threading.Event()

    def batches():
        yield from make_batches()
        stop.set()

    with pytest.raises(KeyboardInterrupt):
        lr_finder.run_range_test(
            model,
            batches(),
            RATES,
            first_step=0,
            variables=variables,
            stop=stop,
        )
    for name, value in values_of(variables).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


# In a run


@pytest.fixture
def auto_config(tiny_config):
    """Two stages of the cheapest network, whose second costs most."""

    def make(**overrides):
        settings = {"model": "mlp", "lr": "auto", "evals": 1}
        return tiny_config(**settings | overrides)

    return make


@pytest.fixture
def searches(monkeypatch):
    """The stages that are tested, and at which step."""
    seen, test_rates = [], rate_search.test_rates

    def look(learner, stage):
        seen.append((stage.index, learner.progress.step))
        return test_rates(learner, stage)

    monkeypatch.setattr(rate_search, "test_rates", look)
    return seen


@pytest.fixture
def curves(monkeypatch, searches):
    """What the tests find instead, one after another."""
    found = []

    def find(learner, stage):
        searches.append((stage.index, learner.progress.step))
        return found[len(searches) - 1]

    monkeypatch.setattr(rate_search, "test_rates", find)
    return found


def read_rates(directory: pathlib.Path) -> np.ndarray:
    with (directory / files.SCHEDULE).open() as file:
        return np.array([float(row["lr"]) for row in csv.DictReader(file)])


@pytest.mark.slow
def test_auto_trains_as_if_the_rate_had_been_given(
    auto_config, tiny_data, tmp_path, searches, capsys
):
    """Found on the stage that costs most, before the first step."""
    settings = {"stage_steps": (4, 5), "deterministic": True}
    found = train.train(make_experiment(auto_config(**settings), tiny_data))
    assert searches == [(1, 0)]
    (rate,) = json.loads((found / "metrics.json").read_text())["found_rates"]
    # A network that learns 46 images by heart has no minimum.
    assert rate == DEFAULT_RATES["adamw"]
    assert f"the default of adamw: {rate:g}" in capsys.readouterr().out
    assert read_rates(found).max() == pytest.approx(rate, rel=1e-5)
    given = train.train(
        make_experiment(
            auto_config(lr=rate, workdir=str(tmp_path / "given"), **settings),
            tiny_data,
        )
    )
    assert len(searches) == 1
    assert (found / "schedule.csv").read_text() == (
        given / "schedule.csv"
    ).read_text()
    one, other = (
        checkpoint.load(run / "checkpoints")[0] for run in (found, given)
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_run_without_a_rate_stops_and_says_what_to_give(
    auto_config, tiny_data, curves
):
    curves.append(make_curve(np.full(100, 3.0)))
    with pytest.raises(UserError, match="--lr=NUMBER.*--restart"):
        train.train(make_experiment(auto_config(), tiny_data))


def test_the_ends_of_the_test_are_part_of_a_run_that_uses_it(
    auto_config, tiny_data
):
    number, auto, other = (
        identity.identify(config, tiny_data)
        for config in (
            auto_config(lr=0.1, lr_max=0.5),
            auto_config(),
            auto_config(lr_max=0.5),
        )
    )
    assert "lr_max" not in number
    assert auto["lr"] == "auto" and auto["lr_max"] == 1.0
    assert auto != other


def test_every_stage_has_a_rate_of_its_own_and_a_resume_keeps_it(
    auto_config, tiny_data, searches, curves, monkeypatch
):
    """Stopped right after the second search, it goes on without another."""
    curve = make_curve(valley_of_losses())
    for rate in (0.01, 0.02):
        scale = rate / curve.suggestions[USED]
        curves.append(make_curve(curve.losses, curve.rates * scale))
    config = auto_config(lr="auto:stage", schedule="constant")
    save, states = checkpoint.save, []

    def save_then_stop(directory, arrays, facts, best=False, **how):
        save(directory, arrays, facts, best, **how)
        states.append((facts["step"], facts["progress"]["found_rates"]))
        if len(facts["progress"]["found_rates"]) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save_then_stop)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    assert states == [(0, [0.01]), (4, [0.01]), (4, [0.01, 0.02])]
    assert searches == [(0, 0), (1, 4)]
    monkeypatch.setattr(checkpoint, "save", save)
    directory = train.train(make_experiment(config, tiny_data))
    assert len(searches) == 2
    assert read_rates(directory) == pytest.approx([0.01] * 4 + [0.02] * 4)
    with (directory / "log.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([0.01, 0.02])


def make_learner(config, data) -> learner.Learner:
    """A learner whose network is built."""
    made = learner.Learner(
        make_experiment(config, data), pathlib.Path(config.workdir)
    )
    made.build()
    return made


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_stage_of_a_few_images_is_tested_like_any_other(
    auto_config, tiny_data, precision, capsys
):
    config = auto_config(
        grow_samples=(2, None), stage_steps=(3, 3), precision=precision
    )
    learner = make_learner(config, tiny_data)
    before = values_of(learner.checkpoints.variables)
    stage = learner.plan.stages[0]
    assert (stage.num_images, stage.steps) == (8, 3)
    curve = rate_search.test_rates(learner, stage)
    assert curve.fell and not curve.suggestions
    assert lr_finder.choose_rate(curve, [], "adamw") == DEFAULT_RATES["adamw"]
    assert "testing learning rates on stage 1" in capsys.readouterr().out
    for name, value in values_of(learner.checkpoints.variables).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_the_mode_writes_curve_and_plot_and_no_run(
    auto_config, tiny_data, capsys
):
    config = auto_config(lr=0.1, stage_steps=(3, 4), lr_min=1e-4, lr_max=0.5)
    curve = train.find_rate(make_experiment(config, tiny_data))
    directory = pathlib.Path(config.workdir)
    assert {path.name for path in directory.iterdir()} == {
        "lr_find.csv",
        "lr_find.png",
    }
    with (directory / "lr_find.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == ("lr", "loss", "smoothed_loss")
    assert len(rows) == len(curve.rates)
    assert float(rows[0]["lr"]) == pytest.approx(1e-4)
    assert float(rows[-1]["lr"]) == pytest.approx(curve.rates[-1], rel=1e-5)
    assert (directory / "lr_find.png").read_bytes()[:4] == b"\x89PNG"
    output = capsys.readouterr().out
    assert lr_curve.summary(curve) in output
    assert "--lr=auto takes 0.006" in output
    assert "testing learning rates on stage 2" in output


@pytest.mark.parametrize(("optimizer", "steps"), [("adamw", 100), ("sgd", 300)])
def test_a_test_of_sgd_takes_more_steps(
    auto_config, tiny_data, monkeypatch, optimizer, steps
):
    seen = []
    monkeypatch.setattr(
        lr_finder,
        "run_range_test",
        lambda model, batches, rates, **_: seen.append(rates),
    )
    config = auto_config(optimizer=optimizer, lr_min=1e-4, lr_max=0.5)
    made = make_learner(config, tiny_data)
    rate_search.test_rates(made, made.plan.stages[0])
    assert len(seen[0]) == steps
    assert seen[0][[0, -1]] == pytest.approx([1e-4, 0.5])


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="--workdir=.*lr_find.csv"):
        lr_curve.write_curve(
            tmp_path / "file" / "run", make_curve(valley_of_losses())
        )


def test_the_plot_marks_every_suggestion_on_a_logarithmic_axis():
    from matplotlib.figure import Figure

    figure, curve = Figure(), make_curve(valley_of_losses())
    lr_curve.draw(figure, curve)
    (axis,) = figure.axes
    assert axis.get_xscale() == "log"
    marked = [line.get_xdata()[0] for line in axis.lines[2:]]
    assert marked == list(curve.suggestions.values())
