"""What was fixed before results were seen; what was chosen after is named."""

import dataclasses
import json

import pytest

from smartgrowth import UserError
from smartgrowth.comparison import looks
from smartgrowth.comparison.arms import Trial
from smartgrowth.config import Config
from smartgrowth.rendering.text import series


def ask(root, finished=True, budget=1.0, restart=(), **arms) -> str:
    """Asks for seeds by arm, the first one the baseline; then they finish."""
    trials = []
    for arm, seeds in arms.items():
        for seed in seeds:
            directory = root / arm / f"seed{seed}" / f"budget{budget:g}"
            config = dataclasses.replace(Config(), restart=arm in restart)
            trials.append(Trial(arm, seed, budget, directory, {}, config))
    clause = looks.record(root, trials)
    for trial in trials:
        trial.directory.mkdir(parents=True, exist_ok=True)
        (trial.directory / "plan.json").write_text("{}")
        if finished:
            (trial.directory / "metrics.json").write_text("{}")
    return clause


def test_the_same_command_again_chooses_nothing(tmp_path):
    for _ in range(3):
        assert ask(tmp_path, plain=range(5), grown=range(5)) == ""


def test_seeds_that_are_added_after_the_results_are_named(tmp_path):
    ask(tmp_path, plain=range(5), grown=range(5))
    clause = (
        "seeds 5 to 9 were added after the results of seeds 0 to 4 of plain, "
        "grown had been seen"
    )
    # Each time that they are shown, and not only the first.
    for _ in range(2):
        assert ask(tmp_path, plain=range(10), grown=range(10)) == clause
    # What was fixed at first stays so.
    assert ask(tmp_path, plain=range(5), grown=range(5)) == ""
    # And the first ones are what later ones are told from.
    assert ask(tmp_path, plain=range(12), grown=range(12)).startswith(
        "seeds 5 to 11 were added after the results of seeds 0 to 4 "
    )


@pytest.mark.parametrize(
    ("arms", "clause"),
    [
        (
            {"plain": range(2), "grown": range(2), "h2": range(2)},
            "h2 was added",
        ),
        (
            {"plain": range(2), "h2": range(2)},
            "h2 was added and grown was left",
        ),
        ({"plain": [0], "grown": [0]}, "seed 1 was left out"),
        (
            {"grown": range(2), "plain": range(2)},
            "grown was made the baseline",
        ),
    ],
)
def test_whatever_is_chosen_after_the_results_is_named(tmp_path, arms, clause):
    ask(tmp_path, plain=range(2), grown=range(2))
    text = ask(tmp_path, **arms)
    assert text.startswith(clause)
    assert text.endswith(
        "after the results of seeds 0, 1 of plain, grown had been seen"
    )


def test_before_any_result_everything_can_still_be_chosen(tmp_path):
    ask(tmp_path, finished=False, plain=range(5), grown=range(5))
    assert ask(tmp_path, finished=False, plain=range(9), grown=range(9)) == ""
    assert ask(tmp_path, plain=range(3)) == ""
    assert ask(tmp_path, plain=range(4)).startswith("seed 3 was added")


def test_one_result_is_enough_to_choose_by(tmp_path):
    """It was stopped at the first seed, of which the terminal told."""
    ask(tmp_path, finished=False, plain=range(5), grown=range(5))
    (tmp_path / "plain/seed0/budget1/metrics.json").write_text("{}")
    assert ask(tmp_path, plain=[0], grown=[0]).startswith(
        "seeds 1 to 4 were left out after the results of seeds 0 to 4"
    )


def test_other_seeds_of_all_arms_test_anew(tmp_path):
    ask(tmp_path, plain=range(5), grown=range(5))
    ask(tmp_path, plain=range(7), grown=range(7))
    assert ask(tmp_path, plain=range(7, 12), grown=range(7, 12)) == ""
    assert ask(tmp_path, plain=range(6, 11), grown=range(6, 11)) != ""


def test_a_pilot_at_a_smaller_budget_is_no_look_at_the_whole(tmp_path):
    ask(tmp_path, budget=0.25, plain=range(2))
    assert ask(tmp_path, plain=range(5)) == ""
    assert ask(tmp_path, budget=0.25, plain=range(3)) != ""


def test_an_arm_that_is_replaced_after_results_is_named(tmp_path):
    arms = {"plain": range(2), "grown": range(2)}
    ask(tmp_path, **arms)
    clause = "grown got other flags after results had been seen"
    assert ask(tmp_path, restart=["grown"], **arms) == clause
    assert ask(tmp_path, **arms) == clause
    # All anew is another comparison.
    assert ask(tmp_path, restart=["plain", "grown"], **arms) == ""
    assert ask(tmp_path, **arms) == ""


def test_a_record_that_is_none_is_named(tmp_path):
    ask(tmp_path, plain=range(2))
    wrong = ({"fixed": [{"budget": 1}]}, {"fixed": 3}, {"fixed": [3]})
    for content in (*map(json.dumps, wrong), "{half"):
        (tmp_path / looks.RECORD).write_text(content)
        with pytest.raises(UserError, match="asked_for.json is malformed; pu"):
            ask(tmp_path, plain=range(3))


def test_numbers_are_read_as_series():
    assert series([]) == ""
    assert series([3]) == "3"
    assert series([1, 0]) == "0, 1"
    assert series([0, 1, 2, 5, 7, 8, 9]) == "0 to 2, 5, 7 to 9"
