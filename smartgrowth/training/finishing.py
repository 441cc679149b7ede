"""The end of a run: its results, and what of its files was lost till then."""

from smartgrowth import UserError
from smartgrowth.evaluation import results
from smartgrowth.runs import directory as run_directory
from smartgrowth.runs import files
from smartgrowth.training import preview


def write_results(learner) -> None:
    """Writes a learner's results to its run directory.

    Raises:
      UserError: the disk refuses them.
    """
    directory, experiment = learner.directory, learner.experiment
    augmentation = learner.augmentation
    try:
        restore_lost_files(learner)
        sheet = preview.run_sheet(experiment, augmentation)
        files.write_bytes(directory / files.AUGMENTATION, sheet)
        with learner.compiled.validated_weights():
            results.write_results(
                directory,
                learner.evaluator,
                experiment,
                learner.progress.rows[-1],
                mirrored=augmentation.mirrors,
                facts=learner.checkpoints.facts(learner.progress),
            )
    except OSError as error:
        raise UserError(
            f"--workdir={directory}: cannot write the results "
            f"({error.strerror or error}); make room and give the command "
            "again, the training is kept"
        ) from error


def restore_lost_files(learner) -> None:
    """Writes again what nothing opens a run without, and its log.

    Someone may have deleted the directory in the middle of the run.

    Raises:
      OSError: the disk refuses plan.json or flags.txt.
    """
    directory, experiment = learner.directory, learner.experiment
    # An earlier version may have begun the run, with a hash of its own.
    own = {"hash": learner.checkpoints.plan_hash}
    run_directory.mend(
        directory, learner.own_config, experiment.description | own
    )
    if not (directory / files.LOG).exists():
        with learner.checkpoints.tolerate("log", learner.progress.step):
            files.write_log(directory, learner.progress.rows)
    if not (directory / files.DATA_REPORT).exists():
        learner.write_inputs()
    if not (directory / files.SCHEDULE).exists():
        learner.write_schedule()
