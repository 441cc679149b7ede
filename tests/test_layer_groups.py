"""Layer groups: what is frozen, what trains at which rate, what it costs."""

import csv
import pathlib

import keras
import numpy as np
import pytest
from conftest import CLASSES, make_config
from keras import ops
from test_optimizers import (
    BOTH,
    MOMENTA,
    RATES,
    REFERENCES,
    STEPS,
    close,
    start,
)
from test_train import assert_equal_runs, last_arrays

from smartgrowth import UserError, command_line
from smartgrowth.experiment import make_experiment
from smartgrowth.models import freezing
from smartgrowth.models.network import MODELS, Network
from smartgrowth.optim import optimizers, rates
from smartgrowth.optim.rates import GroupRates, RateTables
from smartgrowth.planning import make_plan
from smartgrowth.runtime import devices
from smartgrowth.training import train
from smartgrowth.training.learner import Learner

pytestmark = pytest.mark.core

GROUPS = ("body", "last", "head")


def network(name="resnet", **settings):
    return Network(name, len(CLASSES), **{"width": 8, "depth": 1} | settings)


def plan_of(**settings):
    config = make_config("unused", **{"augment": ("none",)} | settings)
    made = network(config.model)
    return make_plan(config, [10] * len(CLASSES), made)


# Groups


@pytest.mark.parametrize("name", MODELS)
def test_every_network_names_its_groups(name):
    made = network(name, depth=2)
    model = made.build([128.0] * 3, [4096.0] * 3)
    assert made.group_names == freezing.group_names(model) == GROUPS
    variables = model.trainable_variables
    places = freezing.variable_groups(model, variables)
    assert places == sorted(places) and set(places) == {0, 1, 2}
    grouped = freezing.variables_of(model, GROUPS)
    assert {id(v) for v in grouped} == {id(v) for v in variables}
    stock = made.build([128.0] * 3, [4096.0] * 3, stock=True)
    assert freezing.group_names(stock) == GROUPS


@pytest.mark.parametrize("name", ["resnet", "resnet34", "lenet5", "mlp"])
def test_the_layers_behind_a_group_are_the_rest_of_the_network(name):
    model = network(name, depth=2).build([128.0] * 3, [4096.0] * 3)
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3))
    whole = model(images.astype("float32"), training=False)
    for group in ("last", "head"):
        tensor = freezing.input_of(model, group)
        before = keras.Model(model.input, tensor)
        behind = keras.Model(tensor, model.output)
        made = behind(before(images.astype("float32"), training=False))
        np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)


def test_a_network_without_a_last_group_says_which_it_has():
    single = network("mlp", depth=1)
    assert single.group_names == ("body", "head")
    with pytest.raises(UserError, match="--grow_trainable=last: --model=mlp"):
        single.trained_groups("last")


@pytest.mark.parametrize("first", ["tail", "Head", "0"])
def test_an_unknown_group_is_refused_when_the_plan_is_made(first):
    with pytest.raises(UserError, match="body, last, head; name the first"):
        plan_of(grow_trainable=(first, "all"))


# Cost


def test_training_all_costs_three_times_the_forward_pass():
    made = network()
    assert made.training_flops(16) == 3 * made.flops_per_image(16)


def test_what_nobody_computes_is_not_counted():
    """By hand, at 16 px: three maps of 16, 8, 4 px before the last of 2 px."""
    made = network()
    forward = made.flops_per_image(16)
    head = 2 * 2 * 2 * 9 * 64 * len(CLASSES)
    assert made.frozen_flops(16, "head") == forward - head
    # Forward through all; backward only for the head's weights.
    assert made.training_flops(16, "head") == forward + head
    # Behind the pool, 3x3 from 32 to 32 channels; then a block of 64.
    first = 2 * 2 * 2 * 9 * 32 * 32
    block = 2 * 2 * 2 * 2 * (9 * 64 + 64 * 64)
    assert made.frozen_flops(16, "last") == forward - head - first - block
    assert made.training_flops(16, "last") == (
        forward + 2 * (head + block) + first
    )


def test_the_first_convolution_is_not_trained_where_it_whitens():
    made = network()
    first = 2 * 16 * 16 * 27 * 8
    everything = made.training_flops(16)
    assert made.training_flops(16, whitened=True) == everything - 2 * first


def test_a_plan_charges_what_is_computed_once():
    made, images = network(), 10 * len(CLASSES)
    plan = plan_of(grow_size=(16,), grow_trainable=("head", "all"))
    head, everything = plan.stages
    assert (head.precomputed, everything.precomputed) == (True, False)
    frozen = made.frozen_flops(16, "head")
    shown = head.steps * head.batch_size
    step = made.training_flops(16, "head") - frozen
    assert plan.gflops_of(head) == (shown * step + images * frozen) / 1e9
    assert plan.gflops_of(everything) == (
        shown * 3 * made.flops_per_image(16) / 1e9
    )
    budget = plan_of(
        grow_size=(16,), grow_trainable=("head", "all"), budget_gflops=1.0
    )
    assert budget.gflops() == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        {"augment": ("basic",)},
        {"cutmix": 0.5},
        {"size_jitter": (1.0, 1.5)},
        {"precompute": False},
        {"grow_trainable": ("all", "all")},
    ],
)
def test_nothing_is_precomputed_where_images_change(settings):
    given = {"grow_size": (16,), "grow_trainable": ("head", "last")}
    plan = plan_of(**given | settings)
    assert not any(stage.precomputed for stage in plan.stages)


def test_augmentation_that_begins_later_leaves_the_first_stage_precomputed():
    plan = plan_of(
        grow_size=(16,),
        grow_trainable=("head", "head"),
        grow_augment=(0.0, 1.0),
        augment=("basic",),
    )
    assert [stage.precomputed for stage in plan.stages] == [True, False]


# Rates


@pytest.mark.parametrize(
    ("text", "scales"),
    [
        ("0.01,0.1,1", (0.01, 0.1, 1.0)),
        ("10x", (0.01, 0.1, 1.0)),
        ("3x", (1 / 9, 1 / 3, 1.0)),
        ("1,1,1", (1.0, 1.0, 1.0)),
    ],
)
def test_rates_of_the_groups(text, scales):
    config = command_line.from_flag_lines([f"--lr_groups={text}"])
    assert rates.rate_scales(config, GROUPS) == pytest.approx(scales)
    again = command_line.from_flag_lines(config.flag_lines())
    assert again.lr_groups == config.lr_groups


@pytest.mark.parametrize(
    "text", ["x", "0x", "-3x", "0.1,0,1", "a,b", "", "nan"]
)
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(UserError, match="--lr_groups"):
        command_line.from_flag_lines([f"--lr_groups={text}"])


def test_too_few_rates_are_refused_with_the_groups():
    config = command_line.from_flag_lines(["--lr_groups=0.1,1"])
    with pytest.raises(UserError, match="2 values.*3 layer groups: body, last"):
        rates.rate_scales(config, GROUPS)


@BOTH
def test_each_group_follows_its_own_rate_as_the_paper_says(name):
    """Decay included; the last variable's moments begin anew at step 8."""
    weights, gradients = start(3)
    variables = [keras.Variable(w) for w in weights]
    optimizer = optimizers.make_optimizer(name, 0.05, variables, False)
    scales = (0.01, 0.1, 1.0)
    optimizer.install_tables(
        RateTables(
            RATES,
            MOMENTA,
            (
                GroupRates(scales[0]),
                GroupRates(scales[1]),
                GroupRates(scales[2], (8,)),
            ),
        )
    )
    group_of = [0, 1, 1, 2]
    optimizer.set_groups(group_of)
    for step, gradient in enumerate(gradients):
        if step == 8:
            optimizer.reset_moments(variables[3:])
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient])
    for index, group in enumerate(group_of):
        value, parts = weights[index], [slice(0, STEPS)]
        if group == 2:
            parts = [slice(0, 8), slice(8, STEPS)]
        for part in parts:
            (value,) = REFERENCES[name](
                [value],
                [[gradient[index]] for gradient in gradients[part]],
                RATES[part] * scales[group],
                MOMENTA[part],
            )
        close([variables[index]], [value])


# Runs

UNFROZEN = {
    "grow_size": (16,),
    "grow_trainable": ("head", "last", "all"),
    "augment": ("none",),
    "stage_steps": (5, 4, 4),
    "lr_groups": "3x",
    "deterministic": True,
    "checkpoint_minutes": 1e-9,
}
LR_COLUMNS = ["lr_body", "lr_last", "lr_head"]
NO_CHECKPOINTS = {"checkpoint_minutes": 1e9}


@pytest.fixture(scope="module")
def unfrozen(tiny_data, tmp_path_factory):
    """The directory of a run that was never stopped: look, do not touch."""
    directory = tmp_path_factory.mktemp("unfrozen") / "whole"
    config = make_config(directory, report=True, **UNFROZEN)
    return train.train(make_experiment(config, tiny_data))


def values_of(learner, groups):
    return [
        np.array(variable)
        for layer in freezing.layers_of(learner.model, groups)
        for variable in layer.variables
    ]


@pytest.mark.parametrize("precompute", [True, False])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_frozen_layers_do_not_move_at_all(
    tiny_config, tiny_data, precompute, optimizer
):
    """Nor do the statistics of their batch norms."""
    config = tiny_config(
        **UNFROZEN | NO_CHECKPOINTS,
        precompute=precompute,
        optimizer=optimizer,
    )
    experiment = make_experiment(config, tiny_data)
    learner = Learner(experiment, pathlib.Path(config.workdir))
    learner.build()
    for stage, frozen in zip(
        experiment.plan.stages, (("body", "last"), ("body",), ()), strict=True
    ):
        before = values_of(learner, frozen)
        moving = values_of(learner, set(GROUPS) - set(frozen))
        learner.begin(stage)
        learner.fit(stage, stage.last_step)
        for old, new in zip(before, values_of(learner, frozen), strict=True):
            np.testing.assert_array_equal(old, new)
        after = values_of(learner, set(GROUPS) - set(frozen))
        moved = [(a != b).any() for a, b in zip(moving, after, strict=True)]
        # Of some the first gradients are zero, behind a gain of zero.
        assert np.mean(moved) > 0.7


def test_precomputed_and_recomputed_runs_end_alike(
    unfrozen, tiny_config, tiny_data
):
    config = tiny_config(**UNFROZEN, precompute=False)
    other = train.train(make_experiment(config, tiny_data))
    one, two = last_arrays(unfrozen), last_arrays(other)
    assert one.keys() == two.keys()
    for name in one:
        np.testing.assert_allclose(
            one[name], two[name], rtol=2e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize("step", [3, 5, 7, 11])
def test_a_run_stopped_at_a_step_ends_like_one_that_was_not(
    unfrozen, tiny_config, tiny_data, stop_after, step, monkeypatch
):
    """On activations, at a boundary, and in two unfrozen stages."""
    # Several steps on activations return to Python once, and hear nothing.
    monkeypatch.setattr(devices, "STEPS_PER_EXECUTION", 1)
    config = tiny_config(**UNFROZEN)
    stop_after(step)
    with pytest.raises(KeyboardInterrupt):
        train.train(make_experiment(config, tiny_data))
    stop_after(None)
    assert_equal_runs(train.train(make_experiment(config, tiny_data)), unfrozen)


def test_moments_of_layers_that_begin_to_train_are_fresh(
    tiny_config, tiny_data
):
    """Layers that were trained, then frozen, then trained again."""
    config = tiny_config(
        **UNFROZEN | NO_CHECKPOINTS | {"grow_trainable": ("all", "head", "all")}
    )
    experiment = make_experiment(config, tiny_data)
    learner = Learner(experiment, pathlib.Path(config.workdir))
    learner.build()
    optimizer = learner.compiled.optimizer
    for stage in experiment.plan.stages[:2]:
        learner.begin(stage)
        learner.fit(stage, stage.last_step)
    variables = freezing.variables_of(learner.model, ("head",))
    kept = [
        np.array(optimizer.moments[0][optimizer.slot(v)]) for v in variables
    ]
    assert all(np.abs(moment).max() > 0 for moment in kept)
    learner.begin(experiment.plan.stages[2])
    for variable in learner.model.trainable_variables:
        moments = [
            np.array(m[optimizer.slot(variable)]) for m in optimizer.moments
        ]
        is_head = any(variable is v for v in variables)
        assert all(moment.any() == is_head for moment in moments), variable.path
    for variable, moment in zip(variables, kept, strict=True):
        np.testing.assert_array_equal(
            optimizer.moments[0][optimizer.slot(variable)], moment
        )


def test_the_optimizer_keeps_its_own_variables(tiny_config, tiny_data):
    """Those of the network would be donated twice to JAX's step."""
    experiment = make_experiment(tiny_config(**UNFROZEN), tiny_data)
    learner = Learner(experiment, pathlib.Path(experiment.config.workdir))
    learner.build()
    optimizer = learner.compiled.optimizer
    before = [id(variable) for variable in optimizer.variables]
    learner.begin(experiment.plan.stages[0])
    assert [id(variable) for variable in optimizer.variables] == before
    trained = optimizer.trained_variables
    assert len(trained) == len(learner.compiled.trained.trainable_variables)


def test_the_rates_of_the_groups_are_in_the_schedule_and_the_report(unfrozen):
    with (unfrozen / "schedule.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["step", "lr", "momentum", *LR_COLUMNS]
    for row in rows:
        body, last, head = (float(row[name]) for name in LR_COLUMNS)
        assert head == float(row["lr"])
        assert (last, body) == pytest.approx((head / 3, head / 9), rel=1e-4)
    page = (unfrozen / "report.html").read_text()
    for name in ("body", "last"):  # the head's is the rate itself
        assert f"layers of {name}" in page
