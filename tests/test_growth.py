"""An axis of growth is one record: everything that names axes follows."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import smartgrowth
from smartgrowth import growth
from smartgrowth.config import Config
from smartgrowth.models.network import Network
from smartgrowth.planning import make_plan
from smartgrowth.runs.identity import describe_plan

# In a process of its own: flags and stages are made when they are imported.
WITH_BLUR = """
import json, types
from smartgrowth import UserError, growth
from smartgrowth.flags.checks import AT_LEAST_ZERO

growth.AXES += (
    growth.Axis(
        flag="grow_blur",
        field="blur",
        name="blur",
        help="Deviation of a blur in pixels",
        default=0.0,
        parse=float,
        check=AT_LEAST_ZERO,
        unit=" px",
    ),
)

from smartgrowth.command_line import format_help, from_flag_lines
from smartgrowth.comparison import html_tables
from smartgrowth.config import GROUPS
from smartgrowth.explore import write
from smartgrowth.models.network import Network
from smartgrowth.planning import make_plan
from smartgrowth.report import sections
from smartgrowth.runs.identity import describe_plan
from smartgrowth.training.summary import format_plan

def plan(config):
    return make_plan(config, [9, 9, 9], Network(config.model, 3))

def refusal(line):
    try:
        from_flag_lines([line])
    except UserError as error:
        return str(error)

config = from_flag_lines(["--grow_blur=0.5,0.25,0"])
grown = plan(config)
usual = describe_plan(plan(from_flag_lines([])), {})
description = describe_plan(grown, {})
stages = description["stages"]
runs = {
    ("plain", 1.0, 0): types.SimpleNamespace(
        stages=usual["stages"], flags={"grow_blur": "0.0"}
    ),
    ("blurred", 1.0, 0): types.SimpleNamespace(
        stages=stages, flags={"grow_blur": "0.5,0.25,0"}
    ),
}
figures = types.SimpleNamespace(runs=runs, budgets=(1.0,), baseline="plain")
print(json.dumps({
    "help": format_help(GROUPS),
    "parsed": config.grow_blur,
    "lines": config.flag_lines(),
    "refusals": [refusal(f"--grow_blur={text}") for text in ("-1", "x", "")],
    "plan": [stage.blur for stage in grown.stages],
    "stages": stages,
    "table": format_plan(grown),
    "usual_table": format_plan(plan(from_flag_lines([]))),
    "report": sections.growth(types.SimpleNamespace(stages=stages)),
    "explore": write._growth(grown),
    "comparison": str(html_tables.arm_table(figures)),
    "hash": usual["hash"],
    "grown_hash": description["hash"],
}))
"""


@pytest.fixture(scope="module")
def blur() -> dict:
    """What a process with one more axis says of it."""
    done = subprocess.run(
        [sys.executable, "-c", WITH_BLUR],
        env=os.environ
        | {"PYTHONPATH": str(pathlib.Path(smartgrowth.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_new_axis_has_a_flag_that_is_parsed_and_checked(blur):
    assert "  --grow_blur=0.0\n      Deviation of a blur" in blur["help"]
    assert blur["parsed"] == [0.5, 0.25, 0.0]
    assert "--grow_blur=0.5,0.25,0.0" in blur["lines"]
    negative, word, nothing = blur["refusals"]
    assert negative == (
        "--grow_blur=-1.0: every value must be at least 0, got -1.0"
    )
    assert word.startswith("--grow_blur=x: expected numbers")
    assert nothing == "--grow_blur=: must be one value or more"


def test_a_new_axis_is_in_the_plan_and_in_plan_json(blur):
    assert blur["plan"] == [0.5, 0.25, 0.0]
    assert [stage["blur"] for stage in blur["stages"]] == [0.5, 0.25, 0.0]


def test_a_new_axis_has_a_column_where_it_grows(blur):
    rows = [row.split() for row in blur["table"].splitlines()]
    place = rows[0].index("blur")
    assert [row[place] for row in rows[2:5]] == ["0.5", "0.25", "0"]
    assert "blur" not in blur["usual_table"]


@pytest.mark.parametrize("page", ["report", "explore", "comparison"])
def test_every_page_says_that_a_new_axis_grew(blur, page):
    assert "blur 0.5 px → 0.25 px → 0 px" in blur[page]


def test_a_comparison_shows_a_new_axis_once(blur):
    """As what grows, and not among the other flags too."""
    assert "--grow_blur" not in blur["comparison"]


def test_plans_that_leave_a_new_axis_at_its_default_keep_their_hash(blur):
    """So that runs from before it are resumed."""
    plan = make_plan(Config(), [9, 9, 9], Network("resnet", 3))
    assert blur["hash"] == describe_plan(plan, {})["hash"]
    assert blur["grown_hash"] != blur["hash"]


def test_flags_and_fields_of_axes_are_their_own():
    for name in ("flag", "field", "name"):
        values = [getattr(axis, name) for axis in growth.AXES]
        assert len(set(values)) == len(values)
        assert all(values)


def test_the_axes_that_are_hypotheses_say_so():
    tests = {axis.flag: axis.hypothesis for axis in growth.AXES}
    assert tests == {
        "grow_samples": "H1",
        "grow_classes": "H2",
        "grow_size": "H3",
        "grow_augment": "",
        "grow_trainable": "",
    }


def test_a_summary_names_what_changes_with_its_unit():
    stages = [
        {"image_size": 16, "samples_per_class": 1000, "num_classes": 5},
        {"image_size": 32, "samples_per_class": None, "num_classes": 5},
    ]
    assert growth.summarize(stages) == (
        "images per class 1,000 → all; image size 16 px → 32 px"
    )
    assert growth.summarize(stages[:1]) == "nothing: a plain baseline"


def test_a_long_summary_leaves_out_the_middle():
    stages = [{"image_size": 8 * size} for size in range(1, 8)]
    assert growth.summarize(stages) == "image size 8 px → 16 px → … → 56 px"


def test_a_stage_of_an_older_version_is_at_the_default_of_what_it_lacks():
    stages = [{"image_size": 16}, {"image_size": 16, "augmentation": 1.0}]
    assert growth.summarize(stages) == "nothing: a plain baseline"
