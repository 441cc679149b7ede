"""What a run writes beside its log, its checkpoints and its results.

Of a `learner.Learner`. A disk that refuses one of them is a warning.
"""

from smartgrowth.curriculum import choose
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs import files


def write_inputs(learner) -> None:
    """Writes what is known of the data: its report and its orders."""
    path = learner.directory / files.DATA_REPORT
    experiment, config = learner.experiment, learner.own_config
    report = experiment.data.report()
    learner.attempt("data report", files.write_json, path, report)
    learner.attempt("orders", choose.write_orders, config, experiment)


def write_plan(learner) -> None:
    """Writes plan.json, as far as the run is decided."""
    path = learner.directory / files.PLAN
    learner.attempt("plan", files.write_json, path, describe(learner))


def write_schedule(learner) -> None:
    """Writes schedule.csv, once the rate is known."""
    if learner.rate:
        write, tables = files.write_schedule, learner.rate.tables
        learner.attempt("schedule", write, learner.directory, tables)


def describe(learner) -> dict:
    """Returns what plan.json holds of a run."""
    # An earlier version may have begun the run, with a hash of its own.
    own = {"hash": learner.checkpoints.plan_hash}
    return learner.experiment.description | own


def restore_lost_files(learner) -> None:
    """Writes again what nothing opens a run without, and its log.

    Someone may have deleted the directory in the middle of the run.

    Raises:
      OSError: the disk refuses plan.json or flags.txt.
    """
    directory = learner.directory
    run_directory.mend(directory, learner.own_config, describe(learner))
    if learner.plan.rules:  # a disk may have refused what was decided
        files.write_json(directory / files.PLAN, describe(learner))
    if not (directory / files.LOG).exists():
        rows = learner.progress.rows
        learner.attempt("log", files.write_log, directory, rows)
    if not (directory / files.DATA_REPORT).exists():
        write_inputs(learner)
    if not (directory / files.SCHEDULE).exists():
        write_schedule(learner)
