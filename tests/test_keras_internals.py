"""Canaries: what is relied on of Keras' private parts still holds.

HELD is the version of Keras for which all of this held when it was last looked
at. Where one of these fails with a newer version, `runtime.keras_internals` is
the only file to mend.
"""

import keras
import numpy as np
import pytest

from smartgrowth.optim import optimizers
from smartgrowth.optim.rates import RateTables
from smartgrowth.runtime import keras_internals

HELD = "3.15.1"

pytestmark = pytest.mark.core

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own function"
)


def message(what: str) -> str:
    return f"{what}: last held for Keras {HELD}, this is {keras.__version__}"


@pytest.fixture
def model():
    """A linear network over any number of rows; float32."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((None, 2))
    outputs = keras.layers.Dense(3)(
        keras.layers.GlobalAveragePooling1D()(inputs)
    )
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.SGD(0.1),
        loss="mse",
        metrics=[keras.metrics.MeanAbsoluteError(name="error")],
        jit_compile=False,
    )
    return model


def batch(rows: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    return (
        random.normal(size=(2, rows, 2)).astype(np.float32),
        random.normal(size=(2, 3)).astype(np.float32),
    )


def test_the_first_metric_is_the_mean_of_the_loss(model):
    model.train_on_batch(*batch())
    loss = keras_internals.loss_metric(model)
    expected = model.get_metrics_result()["loss"]
    assert float(loss.result()) == pytest.approx(float(expected)), message(
        "model.metrics[0]"
    )


def test_callbacks_get_the_metrics_as_they_are(model):
    """Not as Python numbers, which would wait for an accelerator."""
    version = tuple(int(n) for n in keras.__version__.split(".")[:2])
    if keras.backend.backend() == "jax" and version < (3, 15):
        pytest.skip("JAX's trainer itself makes numbers of them there")
    kinds = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kinds.append(type(logs["loss"]))

    callbacks = keras_internals.CallbackList(
        [Look()], add_history=True, model=model
    )
    history = model.fit(*batch(), verbose=0, callbacks=callbacks).history
    assert history["loss"] and float not in kinds, message("CallbackList")


def test_an_optimizer_s_own_rate_is_asked_for_at_every_step():
    weight = keras.Variable([1.0])
    optimizer = optimizers.make_optimizer("sgd", 0.0, [weight], False)
    optimizer.install_tables(RateTables([0.5, 0.25], [0.0, 0.0]))
    for expected in (0.5, 0.25):
        assert float(optimizer.learning_rate) == expected, message(
            "_get_current_learning_rate"
        )
        optimizer.apply([np.ones(1, np.float32)])
    np.testing.assert_allclose(np.array(weight), [0.25])


def test_a_variable_has_its_place_among_the_moments():
    weights = [keras.Variable(np.zeros(n)) for n in (1, 2, 3)]
    optimizer = optimizers.make_optimizer("adamw", 0.0, weights, False)
    means, squares = keras_internals.adam_moments(optimizer)
    for weight in weights:
        place = optimizer.slot(weight)
        assert means[place].shape == squares[place].shape == weight.shape, (
            message("_get_variable_index, _momentums, _velocities")
        )


def test_an_update_that_float16_skips_counts_as_a_step():
    weight = keras.Variable([1.0])
    optimizer = optimizers.make_optimizer("sgd", 0.0, [weight], True)
    optimizer.inner_optimizer.install_tables(RateTables([1.0] * 2, [0.0] * 2))
    if keras.backend.backend() == "jax":
        _, state = optimizer.stateless_apply(
            [v.value for v in optimizer.variables],
            [np.full(1, np.inf, np.float32)],
            [weight.value],
        )
        clock = optimizer.inner_optimizer.iterations
        (steps,) = (
            value
            for variable, value in zip(optimizer.variables, state, strict=True)
            if variable is clock
        )
    else:
        optimizer.apply([np.full(1, np.inf, np.float32)])
        steps = optimizer.inner_optimizer.iterations
    assert int(np.asarray(steps)) == 1, message("_handle_non_finite_grads")
    assert float(weight[0]) == 1.0


def test_a_discarded_train_function_is_made_anew(model):
    model.fit(*batch(), verbose=0)
    before = model.train_function
    keras_internals.discard_train_function(model)
    model.fit(*batch(), verbose=0)
    assert model.train_function is not None, message("train_function")
    assert model.train_function is not before


@tensorflow_only
def test_every_shape_has_a_train_function_of_its_own(model):
    """Kept by shape; and none is traced for an unknown one."""
    import tensorflow as tf

    shapes = []
    step = model.train_step

    def look(data):
        shapes.append(tuple(data[0].shape))  # once for each trace
        return step(data)

    model.train_step = look
    keras_internals.train_each_shape(model)
    sizes = [4, 6, 4, 6]
    data = tf.data.Dataset.from_generator(
        lambda: (batch(size) for size in sizes),
        output_signature=(
            tf.TensorSpec((2, None, 2)),
            tf.TensorSpec((2, 3)),
        ),
    )
    data = data.apply(tf.data.experimental.assert_cardinality(len(sizes)))
    model.fit(data, verbose=0, shuffle=False)
    assert sorted(shapes) == [(2, 4, 2), (2, 6, 2)], message(
        "make_train_function"
    )


@tensorflow_only
@pytest.mark.parametrize("scaled", [False, True])
def test_an_update_is_traced_once_for_steps_of_all_shapes(model, scaled):
    """And learns what one that is traced for each learns, to the bit."""

    def train(share):
        keras.utils.set_random_seed(0)
        network = keras.models.clone_model(model)
        optimizer = optimizers.make_optimizer(
            "adamw", 0.1, network.trainable_variables, scaled
        )
        network.compile(optimizer, "mse", jit_compile=False)
        inner = keras_internals.unscaled_optimizer(network)
        tables = RateTables(np.linspace(0.1, 0.5, 9), np.full(9, 0.9))
        inner.install_tables(tables)
        traced, update = [], inner.update_step

        def look(gradient, variable, rate):
            traced.append(variable)
            return update(gradient, variable, rate)

        inner.update_step = look
        if not share:
            inner._traces.call = lambda function, tensors, key: function(
                tensors
            )
        for rows in (4, 6, 4):
            keras_internals.discard_train_function(network)
            inner.install_tables(tables)
            images, targets = batch(rows)
            network.fit(images, targets, verbose=0, epochs=3, shuffle=False)
        return len(traced), [np.array(w) for w in network.weights]

    count, weights = train(share=True)
    count_apart, weights_apart = train(share=False)
    assert (count, count_apart) == (2, 6), message("apply")
    for one, other in zip(weights, weights_apart, strict=True):
        np.testing.assert_array_equal(one, other)


@tensorflow_only
def test_an_update_by_other_tables_is_another_trace(model):
    optimizer = optimizers.make_optimizer(
        "sgd", 0.0, model.trainable_variables, False
    )
    model.compile(optimizer, "mse", jit_compile=False)
    moved = []
    for rate in (0.0, 0.5):
        optimizer.install_tables(RateTables([rate] * 9, [0.0] * 9))
        keras_internals.discard_train_function(model)
        before = np.array(model.weights[0])
        model.fit(*batch(), verbose=0)
        moved.append(np.abs(np.array(model.weights[0]) - before).max())
    assert moved[0] == 0 and moved[1] > 0


def test_every_size_keeps_its_predict_function(model):
    functions, made = {}, []
    for rows in (4, 6, 4):
        with keras_internals.predict_function_of(
            model, rows, functions, prepare=made.append
        ):
            model.predict(batch(rows)[0], verbose=0)
    assert len(made) == len(functions) == 2, message("predict_function")
    assert functions[4] is not functions[6]
    assert None not in functions.values()


def test_a_predict_function_can_be_wrapped(model):
    calls = []

    def wrap(predict):
        def predict_and_note(*arguments):
            calls.append(len(arguments))
            return predict(*arguments)

        return predict_and_note

    plain = model.predict(batch()[0], verbose=0)
    keras_internals.wrap_predict_function(model, wrap)
    again = model.predict(batch()[0], verbose=0)
    assert calls, message("make_predict_function")
    np.testing.assert_allclose(plain, again, rtol=1e-6)


def test_within_a_fit_the_variables_can_be_brought_up_to_date(model):
    seen = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            keras_internals.write_back_jax_state(self.model)
            seen.append(np.array(self.model.trainable_variables[0]))

    images, targets = batch()
    model.fit(images, targets, batch_size=1, verbose=0, callbacks=[Look()])
    assert len(seen) == 2
    assert np.abs(seen[1] - seen[0]).max() > 0, message("jax_state_sync")


def test_the_calls_of_a_model_have_the_shapes_of_their_inputs(model):
    outer_input = keras.Input((None, 2))
    outer = keras.Model(outer_input, model(outer_input))
    nodes = len(model.layers[1]._inbound_nodes)
    image = keras.KerasTensor((1, 5, 2))
    pooling, dense = keras_internals.trace_calls(outer, [image])
    assert pooling.operation is model.layers[1], message("_run_through_graph")
    assert pooling.inputs == [image]
    assert dense.inputs == pooling.outputs
    assert dense.outputs[0].shape == (1, 3)
    assert len(model.layers[1]._inbound_nodes) == nodes


def test_a_model_with_a_call_of_its_own_is_not_functional(model):
    class Own(keras.Model):
        def call(self, x):
            return x

    sequence = keras.Sequential([keras.Input((2,)), keras.layers.ReLU()])
    assert keras_internals.is_functional(model), message("Functional.call")
    assert keras_internals.is_functional(sequence)
    assert not keras_internals.is_functional(Own(model.inputs, model.outputs))
    assert not keras_internals.is_functional(keras.layers.ReLU())


def test_the_layers_within_a_layer(model):
    inner = keras.layers.Dense(3)
    outer = keras.layers.TimeDistributed(inner)
    assert keras_internals.sublayers(outer) == [inner], message(
        "_flatten_layers"
    )
    assert keras_internals.sublayers(keras.Operation()) == []


def test_the_optimizer_without_its_loss_scale(model):
    assert keras_internals.unscaled_optimizer(model) is model.optimizer
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())
    model.compile(optimizer=scaled, loss="mse")
    assert (
        keras_internals.unscaled_optimizer(model) is scaled.inner_optimizer
    ), message("inner_optimizer")
