"""What each `--mode` does. Each imports what it needs: Keras takes seconds."""

import os
from collections.abc import Sequence

from smartgrowth import UserError
from smartgrowth.comparison.settings import Comparison
from smartgrowth.config import PROCESS_VARIABLES, Config
from smartgrowth.flags.model import is_users
from smartgrowth.runtime import backend
from smartgrowth.runtime.reporter import say


def train(config: Config, callbacks: Sequence = ()) -> None:
    """Trains a run, or goes on with it.

    callbacks: of the caller's, which Keras' own are like.
    """
    experiment = _open_and_join(config)
    from smartgrowth.training import train

    train.train(experiment, callbacks)


def plan(config: Config) -> None:
    """Prints the plan of a run; with --measure, how long it will take."""
    from smartgrowth.training.summary import draw_rates, overview

    experiment = open_experiment(config)
    say(overview(experiment))
    say()
    say(draw_rates(experiment))
    if config.measure:
        backend.start()
        from smartgrowth.training import estimate

        say()
        say(estimate.measure(experiment))


def explore(config: Config) -> None:
    """Writes a page about the dataset, and prints where it is."""
    from smartgrowth.experiment import make_experiment
    from smartgrowth.explore.write import explore, open_data

    say(explore(make_experiment(config, open_data(config))))


def lr_find(config: Config) -> None:
    """Tests learning rates, and writes the curve."""
    experiment = _open_and_join(config)
    from smartgrowth.training import train

    train.find_rate(experiment)


def evaluate(config: Config, dataset: str | None) -> None:
    """Evaluates a finished run by several views of each image.

    dataset: `--dataset`, where the run's images are now; None if not given.
    """
    _use_one_device(config)
    from smartgrowth.evaluation import evaluate_run

    evaluate_run.evaluate_run(config, dataset)


def predict(config: Config) -> None:
    """Labels images with a finished run."""
    _use_one_device(config)
    from smartgrowth.evaluation import predict

    predict.label_images(config)


def export(config: Config, dataset: str | None) -> None:
    """Writes a finished run's network for other runtimes.

    dataset: as of `evaluate`.
    """
    if os.environ["KERAS_BACKEND"] != "tensorflow":
        raise UserError(
            f"KERAS_BACKEND={os.environ['KERAS_BACKEND']}: --mode=export works "
            "with TensorFlow, which opens the final.keras of either backend; "
            "unset it"
        )
    _use_one_device(config)
    import tensorflow as tf

    from smartgrowth.evaluation import export

    tf.config.set_visible_devices([], "GPU")  # the figures are the CPU's
    export.export_run(config, dataset)


def report(config: Config) -> None:
    """Writes a run's page, and prints where it is."""
    from smartgrowth.report.write import write_report

    say(write_report(config.workdir))


def audit(config: Config) -> None:
    """Prints the rules of the assignment against the network."""
    experiment = open_experiment(config)
    backend.start()
    from smartgrowth.models import audit

    data = experiment.data
    model = experiment.network.build(data.mean, data.variance)
    say(audit.format_findings(experiment.audit(model)))


def compare(
    config: Config, comparison: Comparison, given: Sequence[str]
) -> None:
    """Compares arms; trains what is missing.

    given: lines of the flags that were given, which hold for every arm.
    """
    from smartgrowth.comparison.run import compare

    present = [name for name in PROCESS_VARIABLES if name in os.environ]
    if present:
        raise UserError(
            f"{present[0]} is set: --mode=compare makes a process of its own "
            "for every run; unset it, or train the runs first and compare them"
        )
    compare(config, comparison, given)


def open_experiment(config: Config):
    """Returns the `Experiment` that the flags describe; imports no backend."""
    from smartgrowth.data.load import open_data
    from smartgrowth.experiment import make_experiment

    return make_experiment(config, open_data(config))


def _open_and_join(config: Config):
    """Returns the `Experiment`, in a process that has joined the others."""
    if is_users(config.model):  # built while the plan is made
        _join(config)
        return open_experiment(config)
    experiment = open_experiment(config)
    _join(config)
    return experiment


def _join(config: Config) -> None:
    """Imports the backend; joins the other processes, if there are any."""
    backend.import_backend()
    from smartgrowth.runtime import distributed

    distributed.join(config.devices)  # before anything asks for devices
    backend.find_devices()


def _use_one_device(config: Config) -> None:
    backend.start()
    if config.devices == "all":
        say(f"--devices=all: --mode={config.mode} uses one device")


# --mode -> function of the config; those that are missing take more.
MODES = {
    "train": train,
    "plan": plan,
    "explore": explore,
    "lr_find": lr_find,
    "predict": predict,
    "report": report,
    "audit": audit,
}
