"""The end of a run: its results, and what of its files was lost till then."""

from smartgrowth import UserError
from smartgrowth.evaluation import results
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.training import preview


def write_results(learner) -> None:
    """Writes a learner's results to its run directory.

    Raises:
      UserError: the disk refuses them; says where the training is kept. Or
        another process has taken the directory.
    """
    directory, experiment = learner.directory, learner.experiment
    augmentation = learner.augmentation
    learner.checkpoints.settle()
    try:
        learner.lease.check()
        restore_lost_files(learner)
        sheet = preview.run_sheet(experiment, augmentation)
        learner.lease.check()
        files.write_bytes(directory / files.AUGMENTATION, sheet)
        with learner.compiled.validated_weights():
            results.write_results(
                directory,
                learner.evaluator,
                experiment,
                learner.progress.rows[-1],
                mirrored=augmentation.mirrors,
                facts=learner.checkpoints.facts(learner.progress),
                check_owner=learner.lease.check,
            )
        if learner.checkpoints.rescue:
            run_directory.remove_rescued(learner.config)
    except OSError as error:
        raise UserError(
            f"--workdir={directory}: cannot write the results "
            f"({error.strerror or error}); make room and give the command "
            f"again, {keep_training(learner)}"
        ) from error


def keep_training(learner) -> str:
    """Sees to it that the last step is saved; returns what is, and where.

    If the run directory does not hold it, it is kept on this machine.
    """
    step, manager = learner.progress.step, learner.checkpoints
    saved = last_saved_step(learner)
    if saved == step:
        return f"the training is kept to its last step, {step}"
    if manager.keep_here(learner.progress):
        return (
            f"the training is kept to its last step, {step}, on this "
            f"machine in {manager.rescue}"
        )
    if saved is None:
        return "no step of the training is saved"
    return f"the training is kept to step {saved} of {step}"


def last_saved_step(learner) -> int | None:
    """Returns the step of the run directory's newest checkpoint, or None."""
    try:
        found = checkpoint.read_facts(learner.directory / files.CHECKPOINTS)
    except OSError:
        return None
    own = learner.checkpoints.plan_hash
    return max((f["step"] for f in found if f.get("plan") == own), default=None)


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
        step, rows = learner.progress.step, learner.progress.rows
        learner.checkpoints.attempt(
            "log", step, lambda: files.write_log(directory, rows)
        )
    if not (directory / files.DATA_REPORT).exists():
        learner.write_inputs()
    if not (directory / files.SCHEDULE).exists():
        learner.write_schedule()
