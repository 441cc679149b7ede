"""A training in a process of its own, for test_distributed.

python distributed_run.py '{"devices": 2, "store": ..., "config": {...}}'

Virtual devices are made before the engine starts; the loss of every step goes
to `losses.txt` beside the run, the validation right after a resume to
`resumed.json`.
"""

import json
import math
import os
import pathlib
import sys

import conftest

from smartgrowth import UserError


def make_devices(count: int) -> None:
    """Virtual ones, of this machine's processor."""
    if os.environ["KERAS_BACKEND"] == "jax":
        os.environ["XLA_FLAGS"] = (
            f"--xla_force_host_platform_device_count={count}"
        )
    elif count > 1:
        import tensorflow as tf

        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * count,
        )


def train(spec: dict) -> None:
    """As --mode=train does it, watched."""
    from smartgrowth.runtime import backend

    backend.import_backend()
    from smartgrowth.runtime import devices, distributed

    distributed.join(spec["config"]["devices"])
    backend.find_devices()
    from smartgrowth.data import store
    from smartgrowth.experiment import make_experiment
    from smartgrowth.training import callbacks, learner, train

    # Of this network the losses agree to 1e-4 however batches are shared.
    config = conftest.make_config(**{"depth": 1} | spec["config"])
    beside = pathlib.Path(config.workdir).parent
    is_main = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0") == "0"
    on_batch_end = callbacks.StepCallback.on_train_batch_end
    resume = learner.Learner.resume

    def note_loss(steps, batch, logs=None):
        """The means over the segment so far, from which each loss follows."""
        if is_main:
            with (beside / "losses.txt").open("a") as file:
                file.write(f"{float(logs['loss']):.9g}\n")
        if steps.first_step + batch + 1 >= spec.get("stop_at", math.inf):
            steps.stop.set()
        on_batch_end(steps, batch, logs)

    def resume_and_validate(self, directory):
        resume(self, directory)
        step = self.progress.step
        if step and self.distribution.processes == 1:
            size = config.final_size
            with self.compiled.validated_weights():
                found = self.evaluator.validate(
                    size, size, self.experiment.class_order
                )
            (beside / "resumed.json").write_text(
                json.dumps([step, found["val_loss"], found["val_accuracy"]])
            )

    callbacks.StepCallback.on_train_batch_end = note_loss
    learner.Learner.resume = resume_and_validate
    if "steps_per_execution" in spec:
        steps = spec["steps_per_execution"]
        devices.steps_per_execution = lambda *_, **__: steps
    data = store.open_data(pathlib.Path(spec["store"]))
    train.train(make_experiment(config, data))


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    make_devices(given["devices"])
    try:
        train(given)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped")
