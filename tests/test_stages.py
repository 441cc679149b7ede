"""A plan grows what it is told to, counts exactly and costs what it says."""

import copy
import dataclasses
import json

import numpy as np
import pytest

from smartgrowth import UserError, planning
from smartgrowth.config import Config
from smartgrowth.models.network import Network
from smartgrowth.planning import make_plan
from smartgrowth.runs.identity import describe_plan, differences
from smartgrowth.stages import Plan, Stage
from smartgrowth.training.summary import format_plan

COUNTS = [50, 20, 5, 30, 40]  # training images a class
IDENTITY = {"lr": 0.1, "augment": ("flip", "shift"), "model": "cnn"}


def make(counts=COUNTS, **settings) -> Plan:
    config = Config(**settings)
    return make_plan(config, counts, Network(config.model, len(counts)))


def column(run: Plan, name: str) -> list:
    return [getattr(stage, name) for stage in run.stages]


# Growing


def test_one_stage_sees_everything():
    run = make(stage_steps=(7,), batch_size=(4,))
    assert run.stages == (
        Stage(
            index=0,
            first_step=0,
            steps=7,
            batch_size=4,
            image_size=32,
            samples_per_class=None,
            num_classes=5,
            num_images=145,
            augmentation=1.0,
        ),
    )


def test_h1_grows_the_samples_and_counts_no_image_twice():
    run = make(grow_samples=(1, 10, 25, None))
    assert column(run, "samples_per_class") == [1, 10, 25, None]
    # A class with fewer images gives what it has: 5 of the third, and so on.
    assert column(run, "num_images") == [
        5,
        10 + 10 + 5 + 10 + 10,
        25 + 20 + 5 + 25 + 25,
        145,
    ]
    assert column(run, "num_classes") == [5] * 4
    assert column(run, "image_size") == [32] * 4


def test_h2_grows_the_classes_in_their_order():
    run = make(grow_classes=(2, 4, None))
    assert column(run, "num_classes") == [2, 4, 5]
    assert column(run, "num_images") == [70, 105, 145]


def test_h2_asks_for_no_more_classes_than_there_are():
    run = make(grow_classes=(2, 100))
    assert column(run, "num_classes") == [2, 5]


def test_h3_grows_the_images():
    run = make(grow_size=(16, 24, 32))
    assert column(run, "image_size") == [16, 24, 32]
    assert column(run, "num_images") == [145] * 3
    cost = run.flops_per_image
    assert cost[0] < cost[1] < cost[2]


def test_all_axes_grow_together():
    run = make(
        grow_samples=(10, 15, None),
        grow_classes=(2, 3, None),
        grow_size=(16, 24, 32),
        grow_augment=(0.25, 0.5, 1.0),
        stage_steps=(3, 4, 5),
        batch_size=(8, 16, 32),
    )
    assert column(run, "first_step") == [0, 3, 7]
    assert column(run, "last_step") == [3, 7, 12]
    assert column(run, "batch_size") == [8, 16, 32]
    assert column(run, "image_size") == [16, 24, 32]
    assert column(run, "samples_per_class") == [10, 15, None]
    assert column(run, "num_classes") == [2, 3, 5]
    assert column(run, "num_images") == [20, 15 + 15 + 5, 145]
    assert column(run, "augmentation") == [0.25, 0.5, 1.0]


def test_a_stage_smaller_than_a_batch_gets_a_smaller_batch():
    run = make(grow_samples=(1, 2, None), batch_size=(8,))
    assert column(run, "batch_size") == [5, 8, 8]
    assert column(run, "num_images") == [5, 10, 145]


def test_epochs_are_steps_enough_to_show_every_image():
    run = make(
        stage_epochs=(1, 2.5, 0.001),
        grow_samples=(1, 10, None),
        batch_size=(8,),
    )
    # 5 images in one batch of 5; 45 * 2.5 / 8 = 14.06; never no step at all.
    assert column(run, "steps") == [1, 14, 1]
    assert make(stage_epochs=(2,), batch_size=(1,)).steps == 290


def test_epochs_of_oversampled_stages_are_of_the_passes_that_are_shown():
    """As many images of every active class as of the largest."""
    counts = [10, 30, 20]
    plain, balanced = (
        make(
            counts,
            balance=balance,
            grow_classes=(2, 3, 3),
            grow_samples=(15, 15, None),
            stage_epochs=(1, 2, 1),
            batch_size=(5,),
        )
        for balance in ("none", "oversample")
    )
    assert column(plain, "num_images") == column(balanced, "num_images")
    assert plain.pass_images == (25, 40, 60)
    assert column(plain, "steps") == [5, 16, 12]
    assert balanced.pass_images == (30, 45, 90)
    assert column(balanced, "steps") == [6, 18, 18]


def test_epochs_of_a_plan_are_over_the_training_set():
    run = make(stage_steps=(10, 20), batch_size=(4, 8))
    assert run.epochs(145) == pytest.approx((10 * 4 + 20 * 8) / 145)


def test_a_stage_with_one_class_is_refused():
    with pytest.raises(UserError, match="--grow_classes"):
        make(grow_classes=(1, 5))


def test_a_size_that_the_network_cannot_take_is_refused():
    with pytest.raises(UserError, match="image size 20.*16 or 24"):
        make(grow_size=(16, 20, 32))
    with pytest.raises(UserError, match="image size 30.*24 or 32"):
        make(grow_size=(16,), test_size=30)


# Cost

GROWING = {
    "grow_size": (16, 24, 32),
    "grow_samples": (1, 10, None),
    "stage_steps": (13, 7, 29),
    "batch_size": (8, 16, 4),
}


def test_the_cost_is_the_sum_of_the_steps():
    run = make(**GROWING)
    network = Network("resnet", 5)
    spent = 0.0
    images = 0
    for step in range(run.steps):
        assert run.gflops(step) == pytest.approx(spent)
        assert run.images_seen(step) == images
        stage = run.stage_at(step)
        images += stage.batch_size
        # Backward is twice forward.
        forward = network.flops_per_image(stage.image_size)
        spent += 3 * forward * stage.batch_size / 1e9
    assert run.gflops() == run.gflops(run.steps) == pytest.approx(spent)
    assert run.images_seen(run.steps) == images == 13 * 5 + 7 * 16 + 29 * 4
    costs = [run.gflops(step) for step in range(run.steps + 1)]
    assert (np.diff(costs) > 0).all()
    assert costs[0] == 0


def test_the_cost_of_the_stages_adds_up():
    run = make(**GROWING)
    parts = [run.gflops_of(stage) for stage in run.stages]
    assert sum(parts) == pytest.approx(run.gflops())
    for stage, before in zip(run.stages, np.cumsum([0, *parts]), strict=False):
        assert run.gflops(stage.first_step) == pytest.approx(before)


def test_the_same_stage_twice_costs_twice_as_much():
    once = make(stage_steps=(10,)).gflops()
    assert make(stage_steps=(10, 10)).gflops() == pytest.approx(2 * once)
    assert make(stage_steps=(20,)).gflops() == pytest.approx(2 * once)


@pytest.mark.parametrize("factor", [0.1, 0.3, 1.0, 1.7, 40.0])
def test_a_budget_is_met_to_one_step_in_the_same_proportion(factor):
    free = make(**GROWING)
    budget = factor * free.gflops()
    run = make(**GROWING, budget_gflops=budget)
    step_costs = [run.gflops_of(s) / s.steps for s in run.stages]
    assert abs(run.gflops() - budget) <= max(step_costs)
    for old, new in zip(free.stages, run.stages, strict=True):
        assert abs(new.steps - factor * old.steps) <= 1 + max(step_costs) / min(
            step_costs
        )
        same = dataclasses.replace(
            old, steps=new.steps, first_step=new.first_step
        )
        assert same == new
    begins = np.cumsum([0, *column(run, "steps")])[:-1]
    assert column(run, "first_step") == list(begins)


def test_random_budgets_are_met_or_refused():
    random = np.random.default_rng(5)
    refused = 0
    for _ in range(200):
        count = random.integers(1, 6)
        settings = {
            "grow_size": tuple(8 * random.integers(1, 9, count)),
            "stage_steps": tuple(random.integers(1, 50, count)),
        }
        free = make(**settings)
        prices = [free.gflops_of(s) / s.steps for s in free.stages]
        budget = free.gflops() * 10 ** random.uniform(-2, 0.5)
        if budget < sum(prices):
            refused += 1
            with pytest.raises(UserError, match="--budget_gflops"):
                make(**settings, budget_gflops=budget)
            continue
        run = make(**settings, budget_gflops=budget)
        assert abs(run.gflops() - budget) <= max(prices) / 2 * 1.0001
        assert min(column(run, "steps")) >= 1
    assert 5 < refused < 100


def test_a_budget_below_a_step_a_stage_is_refused():
    sizes = (16, 24, 32, 40)
    least = make(grow_size=sizes, stage_steps=(1,)).gflops()
    enough = least * 1.0001
    run = make(grow_size=sizes, stage_steps=(100,), budget_gflops=enough)
    assert column(run, "steps") == [1, 1, 1, 1]
    with pytest.raises(UserError, match="--budget_gflops=.*raise it"):
        make(grow_size=sizes, stage_steps=(100,), budget_gflops=least * 0.99)


def test_a_budget_gives_a_short_stage_its_step_and_the_others_the_rest():
    sizes, steps = (32, 64), (1000, 1)
    free = make(grow_size=sizes, stage_steps=steps)
    small, large = (free.gflops_of(s) / s.steps for s in free.stages)
    run = make(
        grow_size=sizes, stage_steps=steps, budget_gflops=10 * small + large
    )
    assert column(run, "steps") == [10, 1]


# The clock


def test_a_step_belongs_to_the_stage_that_shows_it():
    run = make(stage_steps=(3, 1, 4))
    shown = [run.stage_at(step).index for step in range(8)]
    assert shown == [0, 0, 0, 1, 2, 2, 2, 2]
    for outside in (-1, 8, 100):
        with pytest.raises(ValueError, match="0..7"):
            run.stage_at(outside)


@pytest.mark.parametrize("evals", [1, 2, 5, 20])
def test_evaluations_are_even_over_the_cost(evals):
    run = make(stage_steps=(100, 100, 100), grow_size=(8, 16, 32), evals=evals)
    steps = run.evaluation_steps()
    assert steps == sorted(set(steps))
    assert (steps[0] > 0, steps[-1]) == (True, run.steps)
    ends = {stage.last_step for stage in run.stages}
    assert ends <= set(steps)
    others = set(steps) - ends
    assert evals - 3 <= len(others) <= evals
    # Each is within half a step of its share of the cost.
    for share in np.arange(1, evals + 1) / evals:
        target = share * run.gflops()
        near = min(steps, key=lambda step: abs(run.gflops(step) - target))
        stage = run.stage_at(near - 1)
        half_step = run.gflops_of(stage) / stage.steps / 2
        assert abs(run.gflops(near) - target) <= half_step * 1.0001


@pytest.mark.parametrize("steps", [1, 7, 10, 33, 100])
@pytest.mark.parametrize("stages", range(1, 8))
def test_stages_that_share_their_ends_with_evaluations_have_no_more(
    stages, steps
):
    """Rounding makes no second evaluation one step after a stage's end."""
    run = make(stage_steps=(steps,) * stages, evals=stages)
    ends = [steps * (index + 1) for index in range(stages)]
    assert run.evaluation_steps() == ends


def test_more_evaluations_than_steps_are_one_a_step():
    run = make(stage_steps=(2, 3), evals=1000)
    assert run.evaluation_steps() == [1, 2, 3, 4, 5]


def test_the_stages_that_are_not_over_are_in_their_order():
    run = make(stage_steps=(3, 1, 4))
    left = [
        [stage.index for stage in run.stages_from(done)] for done in range(9)
    ]
    assert left[:3] == [[0, 1, 2]] * 3
    assert left[3:] == [[1, 2], [2], [2], [2], [2], []]


def test_a_stage_has_the_evaluations_within_it_that_are_not_done():
    run = make(stage_steps=(4, 4), evals=4)
    first, second = run.stages
    assert run.evaluation_steps() == [2, 4, 6, 8]
    assert run.evaluations(first, 0) == [2, 4]
    assert run.evaluations(first, 2) == [4]
    assert run.evaluations(first, 4) == []
    assert run.evaluations(second, 0) == [6, 8]
    assert run.evaluations(second, 7) == [8]


@pytest.mark.parametrize("done", range(10))
def test_the_stages_from_a_step_hold_all_evaluations_after_it(done):
    run = make(stage_steps=(3, 1, 5), evals=7)
    assert [
        step
        for stage in run.stages_from(done)
        for step in run.evaluations(stage, done)
    ] == [step for step in run.evaluation_steps() if step > done]


# plan.json


def test_a_plan_describes_itself():
    run = make(**GROWING)
    described = describe_plan(run, IDENTITY)
    assert list(described) == ["hash", "gflops", "stages", "identity"]
    assert described["gflops"] == run.gflops()
    assert sum(s["gflops"] for s in described["stages"]) == pytest.approx(
        run.gflops()
    )
    for stage, values in zip(run.stages, described["stages"], strict=True):
        assert values == dataclasses.asdict(stage) | {
            "jitter_sizes": list(stage.jitter_sizes),
            "gflops": run.gflops_of(stage),
        }
    assert json.loads(json.dumps(described)) == described


def hash_of(run: Plan, identity=IDENTITY) -> str:
    return describe_plan(run, identity)["hash"]


def test_the_hash_is_of_the_stages_and_the_identity():
    run = make(**GROWING)
    same = make(**GROWING)
    turned = dict(reversed(IDENTITY.items()))
    assert hash_of(run) == hash_of(same) == hash_of(run, turned)
    # A tuple becomes a list in the file; it is the same value.
    listed = json.loads(json.dumps(IDENTITY))
    assert hash_of(run) == hash_of(run, listed)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Stage)])
def test_the_hash_changes_with_every_field_of_every_stage(name):
    run = make(**GROWING)
    hashes = {hash_of(run)}
    for index, stage in enumerate(run.stages):
        other = (index + 1) % 3 if name == "index" else 99
        changed = list(run.stages)
        changed[index] = dataclasses.replace(stage, **{name: other})
        hashes.add(hash_of(dataclasses.replace(run, stages=tuple(changed))))
    assert len(hashes) == 4


@pytest.mark.parametrize(
    "identity",
    [
        IDENTITY | {"lr": 0.2},
        IDENTITY | {"augment": ("flip",)},
        IDENTITY | {"depth": 2},
    ],
)
def test_the_hash_changes_with_the_identity(identity):
    run = make(**GROWING)
    assert hash_of(run, identity) != hash_of(run)


def test_a_shorter_plan_has_another_hash():
    run = make(**GROWING)
    shorter = dataclasses.replace(run, stages=run.stages[:-1])
    assert hash_of(shorter) != hash_of(run)


def described(**settings) -> dict:
    return describe_plan(make(**(GROWING | settings)), IDENTITY)


def from_file(value: dict) -> dict:
    return json.loads(json.dumps(value))


def test_equal_plans_have_no_differences_though_one_is_from_a_file():
    new = described()
    assert differences(copy.deepcopy(new), new) == []
    assert differences(from_file(new), new) == []


def test_differences_name_the_value_that_changed():
    old, new = described(), described()
    new["identity"]["lr"] = 0.2
    assert differences(from_file(old), new) == ["lr: 0.1 -> 0.2"]
    new["identity"]["augment"] = ["flip", "blur"]
    assert differences(from_file(old), new) == [
        "augment.1: shift -> blur",
        "lr: 0.1 -> 0.2",
    ]


def test_differences_name_the_stage_that_changed():
    old = described()
    new = described(grow_augment=(0.5, 1.0, 1.0))
    assert differences(from_file(old), new) == [
        "stages.0.augmentation: 1.0 -> 0.5"
    ]


def test_differences_name_a_stage_that_is_no_more():
    old, new = described(), described()
    new["stages"].pop()
    found = differences(old, new)
    assert "stages.2.image_size: 32 -> absent" in found
    assert all(line.startswith("stages.2.") for line in found)


def test_differences_name_a_setting_that_is_new():
    old, new = described(), described()
    new["identity"]["ema"] = 0.99
    assert differences(old, new) == ["ema: 0.0 -> 0.99"]
    new["identity"] |= {"ema": 0.0, "no_flag": 1}
    assert differences(old, new) == ["no_flag: absent -> 1"]


def test_a_value_that_an_older_version_did_not_write_is_at_its_default():
    old, new = described(), described()
    for stage in old["stages"]:
        del stage["replay"], stage["jitter_sizes"]
    new["identity"] |= {"balance": "none", "size_jitter": [1.0]}
    assert differences(from_file(old), new) == []
    new["stages"][1]["replay"] = 0.5
    new["identity"]["balance"] = "oversample"
    assert differences(from_file(old), new) == [
        "balance: none -> oversample",
        "stages.1.replay: 0.0 -> 0.5",
    ]


def test_differences_say_more_than_the_hash_only_where_it_differs():
    old = described()
    for settings in ({}, {"stage_steps": (14, 7, 29)}, {"batch_size": (4,)}):
        new = described(**settings)
        same_hash = old["hash"] == new["hash"]
        assert same_hash == (not differences(from_file(old), new))
        assert same_hash == (not settings)


# Sizes in turn


def test_jittered_sizes_are_those_that_the_network_takes():
    run = make(
        grow_size=(16, 32), size_jitter=(0.75, 1.0, 1.5), stage_steps=(9,)
    )
    assert column(run, "sizes") == [(16, 16, 24), (24, 32, 48)]
    assert column(run, "image_size") == [16, 32]
    network = Network("resnet", 5)
    for stage, price in zip(run.stages, run.flops_per_image, strict=True):
        each = [3 * network.flops_per_image(size) for size in stage.sizes]
        assert price == pytest.approx(np.mean(each))
    assert planning.check_sizes(
        Config(grow_size=(16, 32), size_jitter=(0.75, 1.0, 1.5))
    ) == {16, 24, 32, 48}


def test_without_jitter_a_stage_has_its_one_size():
    for jitter in ((1.0,), (1.0, 1.0), (0.95, 1.05)):  # to the nearest 8
        run = make(grow_size=(16, 32), size_jitter=jitter)
        assert column(run, "jitter_sizes") == [(), ()]
        assert column(run, "sizes") == [(16,), (32,)]


def test_a_budget_is_kept_with_jitter_too():
    run = make(
        size_jitter=(0.5, 1.5), stage_steps=(100, 100), budget_gflops=5000.0
    )
    assert run.gflops() == pytest.approx(5000, rel=0.02)


def test_hard_images_come_back_in_later_stages():
    grown = make(replay_hard="runs/a:0.25", grow_size=(16, 24, 32))
    assert column(grown, "replay") == [0.0, 0.25, 0.25]
    assert column(make(replay_hard="runs/a:0.25"), "replay") == [0.25]
    assert column(make(grow_size=(16, 32)), "replay") == [0.0, 0.0]


def test_the_table_shows_every_stage_and_the_total():
    run = make(**GROWING)
    text = format_plan(run)
    rows = text.splitlines()
    stages = rows[-1 - len(run.stages) : -1]
    for stage, row in zip(run.stages, stages, strict=True):
        numbers = row.replace(",", "").split()
        for value in (stage.image_size, stage.num_images, stage.steps):
            assert str(value) in numbers
    shares = [float(row.split()[-1].rstrip("%")) for row in stages]
    assert sum(shares) == pytest.approx(100, abs=0.2)
    assert f"{run.steps} steps, {run.images_seen(run.steps)} images" in rows[-1]


def test_the_table_has_a_column_for_an_axis_that_grows_only():
    def head(**growing):
        return format_plan(make(**growing)).splitlines()[0].split()

    usual = ["stage", "size", "classes", "images", "steps", "batch"]
    usual += ["GFLOPs", "share"]
    assert head() == head(grow_classes=(2, 3), grow_size=(16, 32)) == usual
    assert "augment" in head(grow_augment=(0.5, 1.0))
    assert "augment" not in head(grow_augment=(0.5, 0.5))
    rows = format_plan(make(grow_samples=(3, None))).splitlines()
    assert rows[0].split()[3:6] == ["per", "class", "images"]
    assert [row.split()[3] for row in rows[2:4]] == ["3", "all"]


# Shares of a budget, and crops


def test_shares_of_the_budget_are_what_the_stages_cost():
    run = make(
        grow_size=(16, 24, 32), stage_shares=(1, 1, 2), budget_gflops=2000
    )
    step = max(map(run.step_flops, run.stages)) / 1e9
    costs = [run.gflops_of(stage) for stage in run.stages]
    assert costs == pytest.approx([500, 500, 1000], abs=step)
    assert sum(costs) == pytest.approx(2000, abs=step / 2)
    equal = make(grow_size=(16, 24, 32), stage_shares=(1,), budget_gflops=2000)
    costs = [equal.gflops_of(stage) for stage in equal.stages]
    assert costs == pytest.approx([2000 / 3] * 3, abs=step)


def test_shares_want_a_budget_and_no_other_length():
    with pytest.raises(UserError, match="--budget_gflops; give that too"):
        make(stage_shares=(1.0,))
    with pytest.raises(UserError, match="--stage_steps and --stage_shares"):
        Config(stage_shares=(1.0,), stage_steps=(9,), budget_gflops=9.0)


def test_crops_need_the_images_of_the_final_size_alone():
    config = Config(grow_size=(16, 24, 32), grow_by="crop")
    assert planning.check_sizes(config) == {32}
    sizes = column(make(grow_size=(16, 24, 32), grow_by="crop"), "image_size")
    assert sizes == [16, 24, 32]
    larger = dataclasses.replace(config, test_size=48)
    assert planning.check_sizes(larger) == {48}
    with pytest.raises(UserError, match="--grow_by=crop: .* --test_size=32"):
        planning.check_sizes(dataclasses.replace(config, test_size=24))


def test_crops_cost_what_images_of_their_size_cost():
    sizes = {"grow_size": (16, 24, 32), "stage_steps": (100,)}
    assert make(**sizes, grow_by="crop").gflops() == make(**sizes).gflops()


def test_frozen_layers_make_something_else_of_every_crop():
    settings = {"grow_size": (16, 32), "grow_trainable": ("head",)}
    settings |= {"augment": ("none",)}
    assert column(make(**settings), "precomputed") == [True, True]
    assert column(make(**settings, grow_by="crop"), "precomputed") == [
        False,
        True,
    ]
