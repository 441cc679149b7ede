"""What relies on parts of Keras that are not its public interface.

All of it stands here, so that a new version of Keras is checked in one place;
tests/test_keras_internals.py has a test for each that names the version for
which it last held.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator

import keras
from keras.src.models.functional import Functional


class CallbackList(keras.callbacks.CallbackList):
    """The callbacks of a `fit`, which get a batch's metrics as they are.

    Keras' own list makes Python numbers of them: an accelerator would be waited
    for after every batch.
    """

    def on_train_batch_end(self, batch, logs=None):
        for callback in self.callbacks:
            callback.on_train_batch_end(batch, logs)


class ScheduledOptimizer:
    """Mixin of an optimizer that computes its learning rate at every step, and
    whose `update_step` decays weights in the assignment that it makes anyway.
    """

    def current_learning_rate(self):
        """Returns the rate of the present step, a scalar tensor."""
        return super()._get_current_learning_rate()

    def _get_current_learning_rate(self):
        return self.current_learning_rate()

    def slot(self, variable) -> int:
        """Returns the place of a variable among the optimizer's moments."""
        return self._get_variable_index(variable)

    @property
    def trained_variables(self) -> list:
        """The variables of a JAX step."""
        return self._trainable_variables

    def decays(self, variable) -> bool:
        """Returns whether weight decay applies to a variable."""
        return bool(self.weight_decay) and self._use_weight_decay(variable)

    def _apply_weight_decay(self, variables):
        pass  # Keras' own would look the rate up for every variable


class LossScaleOptimizer(keras.optimizers.LossScaleOptimizer):
    """Float16's loss scaling, for which a skipped update counts as a step.

    Keras' own leaves `iterations` alone then, and the clock would fall behind
    the batches shown.
    """

    def _stateful_handle_non_finite_grads(self):
        super()._stateful_handle_non_finite_grads()
        self.inner_optimizer.iterations.assign_add(1)

    def _stateless_handle_non_finite_grads(
        self, optimizer_variables, trainable_variables
    ):
        trainable, state = super()._stateless_handle_non_finite_grads(
            optimizer_variables, trainable_variables
        )
        clock = self.inner_optimizer.iterations
        return trainable, [
            value + 1 if variable is clock else value
            for variable, value in zip(self.variables, state, strict=True)
        ]


class TraceCache:
    """Parts of a training step that are traced once for steps of all shapes.

    Their graphs are inlined in the step's. JAX calls them as they are, its time
    is the compiler's; so do several devices, which meet within them.
    """

    def __init__(self):
        self.traced = {}

    def call(self, function: Callable, tensors: list, key=None) -> None:
        """Does `function(tensors)`, which returns nothing.

        Args:
          key: equal for functions that do the same to tensors of the same
            shapes.
        """
        if not self._apart(tensors):
            function(tensors)
            return
        import tensorflow as tf

        if key not in self.traced:
            specs = [tf.TensorSpec(x.shape, x.dtype) for x in tensors]
            traced = tf.function(function, autograph=False)
            self.traced[key] = traced.get_concrete_function(specs)
        self.traced[key](*tensors)

    @staticmethod
    def _apart(tensors: list) -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return (
            not tf.executing_eagerly()
            and not tf.distribute.has_strategy()
            and all(tf.is_tensor(tensor) for tensor in tensors)
        )


def adam_moments(optimizer: keras.optimizers.Adam) -> tuple[list, list]:
    """Returns Adam's first and second moments, a variable a weight each."""
    return optimizer._momentums, optimizer._velocities


def train_only(model: keras.Model) -> None:
    """Has a JAX optimizer expect the gradients of what is trainable now."""
    variables = list(model.trainable_variables)
    for optimizer in (model.optimizer, unscaled_optimizer(model)):
        # Or they would count as its own variables.
        object.__setattr__(optimizer, "_trainable_variables", variables)


def compile_alike(
    part: keras.Model, whole: keras.Model, metric: keras.metrics.Metric
) -> None:
    """Compiles some of a model's layers to be trained by its own optimizer.

    metric: of the whole; both share it and the mean loss.
    """
    part.compile(
        optimizer=whole.optimizer,
        loss=whole.loss,
        metrics=[metric],
        jit_compile=whole.jit_compile,
        auto_scale_loss=False,
    )
    part._loss_tracker = loss_metric(whole)


def unscaled_optimizer(model: keras.Model) -> keras.optimizers.Optimizer:
    """Returns a model's optimizer without float16's loss scaling around it."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def loss_metric(model: keras.Model) -> keras.metrics.Metric:
    """Returns the running mean of the loss that `fit` reports."""
    return model.metrics[0]


def write_back_jax_state(model: keras.Model) -> None:
    """Puts values into the variables in the middle of a `fit`.

    With JAX, `fit` keeps them to itself until it ends.
    """
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def discard_train_function(model: keras.Model) -> None:
    """Has the next `fit` compile its step anew.

    Kept, its shapes would relax to unknown ones at another image size, and
    what it looks up, such as learning rates, is compiled into it.
    """
    model.train_function = None


def train_each_shape(model: keras.Model) -> None:
    """Lets one compiled model train on batches of several shapes.

    Keras' own function would relax to unknown shapes on TensorFlow at the
    second one; this keeps a function for each. JAX does so by itself.
    """
    if keras.backend.backend() != "tensorflow":
        return
    functions = {}

    def train_function(iterator):
        batch = next(iterator)
        shape = tuple(batch[0].shape)
        if shape not in functions:
            model.make_train_function(force=True)
            functions[shape] = model.train_function
            model.train_function = train_function
        # Not a tf.data iterator, so that the shapes are the batch's own.
        return functions[shape]([batch])

    model.train_function = train_function


@contextlib.contextmanager
def predict_function_of(
    model: keras.Model, key, functions: dict, prepare: Callable = None
) -> Iterator[None]:
    """While entered, `predict` uses the function kept for `key`.

    Keras keeps one predict function, whose shapes would relax; of several
    steps at once it would make one large graph.

    Args:
      key: an image size, say.
      functions: what is kept, by key; changed.
      prepare: called with the model before a new function is made.
    """
    model.predict_function = functions.get(key)
    if model.predict_function is None and prepare:
        prepare(model)
    steps, model.steps_per_execution = model.steps_per_execution, 1
    try:
        yield
        functions[key] = model.predict_function
    finally:
        model.steps_per_execution = steps


def wrap_predict_function(model: keras.Model, wrap: Callable) -> None:
    """Replaces a model's predict function by what `wrap` makes of it.

    wrap: function -> function, each of (state, iterator) with JAX.
    """
    model.make_predict_function()
    model.predict_function = wrap(model.predict_function)


@dataclasses.dataclass(frozen=True)
class Call:
    """One use of an operation, on tensors without values.

    inputs, outputs: KerasTensors; those of one call are those of the next.
    """

    operation: keras.Operation
    inputs: list
    outputs: list


def trace_calls(model: keras.Model, inputs: list) -> list[Call]:
    """Returns what a functional model does to inputs of these shapes, in order.

    Models within it are opened. The model stays as it is: no node is added.
    A model that is not functional is one call, of itself.
    """
    calls = []
    _trace(model, inputs, calls)
    return calls


def _trace(model, inputs, calls: list[Call]):
    def traced(operation):
        def call(*args, **kwargs):
            if is_functional(operation):
                return _trace(operation, args, calls)
            outputs = operation.compute_output_spec(*args, **kwargs)
            calls.append(
                Call(operation, _tensors((args, kwargs)), _tensors(outputs))
            )
            return outputs

        return call

    if not is_functional(model):
        return traced(model)(*inputs)
    graph = getattr(model, "_functional", None) or model
    return graph._run_through_graph(inputs, operation_fn=traced)


def is_functional(operation: keras.Operation) -> bool:
    """Whether a model does what its graph says: it has no own `call`."""
    graph = getattr(operation, "_functional", None) or operation
    if not hasattr(graph, "_run_through_graph"):
        return False
    return type(operation).call in (Functional.call, keras.Sequential.call)


def _tensors(structure) -> list:
    return [
        x
        for x in keras.tree.flatten(structure)
        if isinstance(x, keras.KerasTensor)
    ]


def sublayers(operation: keras.Operation) -> list[keras.Layer]:
    """Returns the layers that a layer consists of, those within them too."""
    if not isinstance(operation, keras.Layer):
        return []
    return list(operation._flatten_layers(include_self=False))
