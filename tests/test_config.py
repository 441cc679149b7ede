"""Every setting has a flag, a meaning and a check; lists speak of stages."""

import dataclasses
import math

import pytest
from absl import flags

from smartgrowth import UserError
from smartgrowth.command_line import define_flags, from_flag_lines, from_flags
from smartgrowth.config import Config
from smartgrowth.flags.flag import Identity, flag

FIELDS = dataclasses.fields(Config)


def parse(*lines: str) -> Config:
    return from_flag_lines(list(lines))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_every_field_has_a_flag_with_a_help_text(field):
    values = flags.FlagValues()
    define_flags(values, Config)
    assert values[field.name].help.strip()
    assert field.metadata["help"] in values[field.name].help


def test_no_flags_is_the_default_config():
    assert parse() == Config()
    assert Config().num_stages == 1
    assert Config().stage_steps == (1000,)


EVERYTHING = Config(
    mode="plan",
    measure=True,
    workdir="runs/a run",
    restart=True,
    take_over=True,
    dataset="folder:some images",
    data_dir="~/data",
    cache_dir="cache",
    max_bad_fraction=0.25,
    drop_leaks=True,
    hold_out=0.2,
    classes=("n02123045", "wild, big cat", 'a "quoted" one'),
    grow_samples=(1, 10, None),
    grow_classes=(2, 5, None),
    grow_size=(16, 24, 32),
    grow_augment=(0.0, 0.5, 1.0),
    sample_order="first",
    class_order="taxonomy",
    taxonomy="groups.csv",
    descriptor="learned",
    replay_hard="runs/one:0.25",
    balance="oversample",
    size_jitter=(0.75, 1.0, 1.5),
    stage_epochs=(0.5, 1.0, 2.25),
    grow_learned=0.8,
    grow_slowed=0.3,
    grow_least=0.1,
    grow_most=0.3,
    grow_last=0.5,
    grow_by="crop",
    batch_size=(8, 16, 32),
    budget_gflops=12.5,
    test_size=64,
    model="cnn",
    width=(16, 32, 32, 64),
    depth=(0, 1, 2, 3),
    init_from="runs/an earlier run",
    grow_trainable=("head", "last", "all"),
    lr_groups=(0.01, 0.1, 1.0),
    precompute=False,
    dropout=0.25,
    enforce_rules=True,
    optimizer="sgd",
    lr=3e-05,
    lr_min=1e-06,
    lr_max=10.0,
    schedule="sgdr",
    schedule_scope="stage",
    schedule_clock="cost",
    cycle_len=100,
    cycle_mult=1.5,
    weight_decay=0.0,
    ema=0.999,
    stage_restart="shrink_perturb",
    label_smoothing=0.1,
    augment=("flip", "shift"),
    mixup=0.2,
    cutmix=0.3,
    seed=2**31 - 1,
    precision="bfloat16",
    devices="all",
    deterministic=True,
    evals=7,
    checkpoint_minutes=0.1,
    report=False,
    tensorboard=True,
    images="some where/x.png",
)


def test_flag_lines_repeat_the_config():
    default = Config()
    changed = {
        field.name
        for field in FIELDS
        if getattr(EVERYTHING, field.name) != getattr(default, field.name)
    }
    # Nothing else is left out of the round trip by being at its default; these
    # exclude others of the same.
    excluded = {"cycle_epochs", "whiten", "grow_when", "grow_schedule"}
    excluded |= {"stage_shares", "format", "quantize"}
    assert changed == {field.name for field in FIELDS} - excluded
    assert from_flag_lines(EVERYTHING.flag_lines()) == EVERYTHING
    assert from_flag_lines(default.flag_lines()) == default


@pytest.mark.parametrize("text", ["auto", "auto:stage", "0.25"])
def test_a_rate_is_a_number_or_a_way_to_find_one(text):
    config = parse(f"--lr={text}")
    assert config.finds_rate == text.startswith("auto")
    assert config.lr == (text if config.finds_rate else 0.25)
    assert f"--lr={text}" in config.flag_lines()
    assert from_flag_lines(config.flag_lines()) == config
    for wrong in ("--lr=automatic", "--lr=auto:run", "--lr="):
        with pytest.raises(UserError, match="--lr=.*a number above 0, auto or"):
            parse(wrong)
    with pytest.raises(UserError, match="--lr=fast: must be a number above 0"):
        Config(lr="fast")


def test_a_range_of_rates_has_two_ends():
    with pytest.raises(UserError, match="--lr_min=2: .* below --lr_max=1"):
        parse("--lr_min=2")


def test_the_lines_are_a_flagfile(tmp_path):
    path = tmp_path / "flags.txt"
    path.write_text("\n".join(EVERYTHING.flag_lines()) + "\n")
    assert parse(f"--flagfile={path}") == EVERYTHING


def test_later_flags_win(tmp_path):
    path = tmp_path / "some.flags"
    path.write_text("# a comment\n--lr=0.5\n--depth=4\n")
    config = parse(f"--flagfile={path}", "--lr=0.25")
    assert (config.lr, config.depth) == (0.25, 4)


def test_width_is_one_number_or_one_for_each_stage():
    assert from_flag_lines(["--width=8,8,16,16"]).width == (8, 8, 16, 16)
    for refused in ("0", "8,0,8,8", "wide"):
        with pytest.raises(UserError, match=f"--width={refused}: must be a"):
            from_flag_lines([f"--width={refused}"])


def test_depth_is_one_number_or_one_for_each_stage():
    assert from_flag_lines(["--depth=0,2,2,2"]).depth == (0, 2, 2, 2)
    lines = Config(depth=(0, 1, 1, 1)).flag_lines()
    assert from_flag_lines(lines).depth == (0, 1, 1, 1)
    for refused in ("0", "-1", "0,0,0,0", "2,-1,2,2"):
        with pytest.raises(UserError, match=f"--depth={refused}: must be a"):
            from_flag_lines([f"--depth={refused}"])


def test_all_means_no_limit():
    config = parse("--grow_samples=1, 10,all", "--grow_classes=all")
    assert config.grow_samples == (1, 10, None)
    assert config.grow_classes == (None,)
    assert "--grow_samples=1,10,all" in config.flag_lines()
    assert "--grow_classes=all" in config.flag_lines()


@pytest.mark.parametrize(
    "line",
    [
        "--depth=0",
        "--width=-3",
        "--cycle_len=0",
        "--cycle_epochs=0",
        "--cycle_epochs=nan",
        "--ema=1",
        "--ema=-0.1",
        "--stage_restart=often",
        "--test_size=0",
        "--lr=0",
        "--lr=nan",
        "--lr=inf",
        "--lr_min=0",
        "--lr_max=inf",
        "--cycle_mult=-1",
        "--checkpoint_minutes=0",
        "--budget_gflops=0",
        "--budget_gflops=inf",
        "--budget_gflops=nan",
        "--weight_decay=-0.1",
        "--evals=0",
        "--seed=-1",
        f"--seed={2**31}",
        "--dropout=1",
        "--label_smoothing=-0.5",
        "--grow_samples=0",
        "--grow_classes=4,-1",
        "--grow_size=16,0",
        "--grow_size=16,all",
        "--grow_size=",
        "--grow_size=big",
        "--grow_augment=0.5,1.5",
        "--grow_augment=nan",
        "--grow_samples=few",
        "--batch_size=",
        "--batch_size=2.5",
        "--classes=",
        "--augment=",
        "--stage_steps=0",
        "--stage_epochs=0",
        "--stage_epochs=inf",
        "--precision=int8",
        "--optimizer=adam",
        "--depth=two",
        "--mode=fly",
    ],
)
def test_a_bad_value_is_named_with_its_flag(line):
    name, _, value = line.partition("=")
    with pytest.raises(UserError) as error:
        parse(line)
    assert name.removeprefix("--") in str(error.value)
    assert value.split(",")[-1] in str(error.value)


def test_a_list_that_is_no_list_of_numbers_says_what_it_wants():
    with pytest.raises(UserError, match="numbers or 'all', separated"):
        parse("--grow_samples=1;10")
    with pytest.raises(UserError, match="numbers, separated"):
        parse("--grow_size=16;32")


@pytest.mark.parametrize(
    "name",
    [field.name for field in FIELDS if field.metadata["choices"]],
)
def test_every_choice_is_taken_and_nothing_else(name):
    field = {field.name: field for field in FIELDS}[name]
    assert field.default in field.metadata["choices"]
    for choice in field.metadata["choices"]:
        assert getattr(parse(f"--{name}={choice}"), name) == choice
    with pytest.raises(UserError, match=name):
        parse(f"--{name}=nothing_of_the_kind")


def test_an_unknown_flag_is_refused():
    with pytest.raises(UserError, match="no_such_flag"):
        parse("--no_such_flag=1")


def test_a_stray_argument_is_an_error_in_a_flagfile_too(tmp_path):
    with pytest.raises(UserError, match="stray argument 'lr=0.5'"):
        parse("--depth=3", "lr=0.5")
    path = tmp_path / "some.flags"
    path.write_text("--depth=3\n  # indented\n")
    assert parse(f"--flagfile={path}").depth == 3
    path.write_text("--depth=3\n  lr=0.5\n")
    with pytest.raises(UserError, match="stray argument 'lr=0.5'"):
        parse(f"--flagfile={path}")


def test_lists_of_different_lengths_are_named():
    with pytest.raises(UserError) as error:
        parse(
            "--grow_size=16,24,32",
            "--batch_size=8,16",
            "--stage_steps=10",
            "--grow_augment=0,1,1",
        )
    message = str(error.value)
    assert "--grow_size has 3" in message
    assert "--batch_size has 2" in message
    assert "--grow_augment has 3" in message
    assert "stage_steps" not in message  # a single value serves all stages


def test_a_single_value_serves_every_stage():
    config = parse("--grow_size=16,24,32", "--batch_size=8")
    assert config.num_stages == 3
    assert config.per_stage("batch_size") == (8, 8, 8)
    assert config.per_stage("grow_size") == (16, 24, 32)
    assert config.per_stage("grow_samples") == (None, None, None)
    assert config.per_stage("stage_steps") == (1000, 1000, 1000)


def test_steps_and_epochs_together_are_refused():
    with pytest.raises(UserError, match="--stage_steps and --stage_epochs"):
        parse("--stage_steps=10", "--stage_epochs=1")
    # A flagfile's steps can be taken back.
    config = parse("--stage_steps=10", "--stage_epochs=1,2", "--stage_steps=")
    assert (config.stage_steps, config.stage_epochs) == ((), (1.0, 2.0))


def test_the_final_size_is_the_last_stages_unless_told():
    assert parse("--grow_size=16,24").final_size == 24
    assert parse("--grow_size=16,24", "--test_size=32").final_size == 32


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().lr = 1.0


def test_a_config_made_in_code_is_checked_too():
    with pytest.raises(UserError, match="--lr=-1: must be a number above 0"):
        Config(lr=-1)
    assert math.isclose(dataclasses.replace(Config(), lr=2.0).lr, 2.0)


def test_parsed_flags_and_their_lines_agree():
    values = flags.FlagValues()
    define_flags(values, Config)
    values(["program", "--depth=5", "--norestart", "--grow_size=8,16"])
    config = from_flags(values)
    assert (config.depth, config.restart) == (5, False)
    assert config.grow_size == (8, 16)
    assert from_flag_lines(config.flag_lines()) == config


def test_a_cycle_has_one_length():
    assert parse("--cycle_epochs=1.5").cycle_epochs == 1.5
    with pytest.raises(UserError, match="--cycle_len=9 and --cycle_epochs=2"):
        parse("--cycle_len=9", "--cycle_epochs=2")


def test_every_flag_takes_part_in_the_identity_as_decided():
    """A new flag needs a decision here and at its definition."""
    decided = {kind: set() for kind in Identity}
    for field in FIELDS:
        decided[field.metadata["identity"]].add(field.name)
    assert decided == {
        Identity.ALWAYS: {
            *("dataset", "seed", "evals"),
            *("model", "width", "depth", "dropout"),
            *("optimizer", "lr", "weight_decay", "label_smoothing"),
            *("schedule", "schedule_scope", "cycle_len", "cycle_mult"),
            *("augment", "mixup", "cutmix", "size_jitter"),
            *("sample_order", "class_order", "descriptor"),
            *("balance", "replay_hard"),
        },
        Identity.IF_SET: {
            *("ema", "stage_restart", "cycle_epochs", "drop_leaks", "hold_out"),
            *("whiten", "init_from", "lr_groups", "schedule_clock", "grow_by"),
        },
        Identity.IF_RATE_IS_FOUND: {"lr_min", "lr_max"},
        Identity.INDIRECT: {
            *("grow_samples", "grow_classes", "grow_size", "grow_augment"),
            *("grow_trainable", "precompute"),
            *("stage_steps", "stage_epochs", "batch_size", "budget_gflops"),
            *("stage_shares", "grow_schedule", "grow_when", "grow_learned"),
            *("grow_slowed", "grow_least", "grow_most", "grow_last"),
            *("classes", "taxonomy", "test_size"),
        },
        Identity.NEVER: {
            *("mode", "measure", "images", "restart", "enforce_rules"),
            *("format", "quantize"),
            *("workdir", "take_over", "data_dir", "cache_dir", "tensorboard"),
            "report",
            "max_bad_fraction",
            *("precision", "devices", "deterministic", "checkpoint_minutes"),
        },
    }


def test_a_flag_without_a_decision_cannot_be_defined():
    with pytest.raises(TypeError, match="identity"):
        flag(0, "A flag.")


@pytest.mark.parametrize(
    ("line", "augments"),
    [
        ("--augment=basic", True),
        ("--augment=keras:RandomFlip", True),
        ("--augment=randaugment:2:0.5", True),
        ("--augment=none", False),
        ("--augment=none\n--mixup=0.1", True),
        ("--augment=none\n--cutmix=0.1", True),
        ("--augment=none,cutout", True),
        ("--grow_augment=0", False),
        ("--grow_augment=0,0.5", True),
    ],
)
def test_a_run_augments_if_anything_changes_its_images(line, augments):
    assert parse(*line.split("\n")).augments == augments
