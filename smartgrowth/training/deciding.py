"""Ends stages while a run trains, where `--grow_when=auto` leaves it open.

`boundaries` has the rules; here a decision is taken up: kept in the progress,
from which every checkpoint has it, and written to plan.json.
"""

import dataclasses
import pathlib

from smartgrowth import boundaries
from smartgrowth.experiment import Experiment
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.runtime.reporter import say
from smartgrowth.stages import Decision, Stage
from smartgrowth.training import run_files


def take_up(experiment: Experiment, directory: pathlib.Path) -> Experiment:
    """Returns the experiment with what a run of it has decided so far.

    directory: of the run: by its newest checkpoint or, once it is finished,
      by its plan.json.
    """
    if not experiment.plan.rules or experiment.config.restart:
        return experiment
    whole = run_directory.find_plan(directory)
    if whole and run_directory.is_finished(directory):
        return experiment.after(
            Decision(**each) for each in whole.get("decisions", [])
        )
    plan = run_directory.plan_hash(experiment.config, experiment.description)
    found = checkpoint.read_facts(directory / files.CHECKPOINTS)
    own = [facts for facts in found if facts.get("plan") == plan]
    newest = max(own, key=lambda facts: facts["step"], default={})
    decisions = newest.get("progress", {}).get("decisions", [])
    return experiment.after(Decision(**each) for each in decisions)


def replan(learner) -> None:
    """Plans a learner's run by the decisions in its progress."""
    decisions = [Decision(**each) for each in learner.progress.decisions]
    learner.experiment = learner.experiment.after(decisions)
    learner.progress_line.follow(learner.plan)
    learner.compiled.follow(learner.experiment)
    if learner.rate:
        learner.follow(learner.peak)
    run_files.write_plan(learner)


def decide(learner, stage: Stage) -> Stage:
    """Ends a stage after an evaluation, if that is what its rule says.

    Returns:
      The stage as it is now planned.
    """
    plan, progress = learner.plan, learner.progress
    rows = [row for row in progress.rows if row["stage"] == stage.index]
    stage = plan.stages[stage.index]
    rule = plan.rules and boundaries.decide(plan, stage, rows)
    if not rule:
        return stage
    progress.decisions.append({"step": progress.step, "rule": rule})
    replan(learner)
    run_files.write_schedule(learner)
    say(
        f"stage {stage.index + 1} ends at step {progress.step}: "
        f"{boundaries.explain(dataclasses.asdict(plan.rules), rule, rows[-1])}"
    )
    return learner.plan.stages[stage.index]
