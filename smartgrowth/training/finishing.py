"""The end of a run: its results, or where its training is kept."""

from smartgrowth import UserError
from smartgrowth.evaluation import results
from smartgrowth.runs import checkpoint, files
from smartgrowth.runs import directory as run_directory
from smartgrowth.training import preview, run_files


def write_results(learner) -> None:
    """Closes a learner's log; writes its results to its run directory.

    Raises:
      UserError: the disk refuses them; says where the training is kept. Or
        another process has taken the directory.
    """
    learner.log.end()
    directory, experiment = learner.directory, learner.experiment
    augmentation = learner.augmentation
    learner.checkpoints.settle()
    try:
        learner.lease.check()
        run_files.restore_lost_files(learner)
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
