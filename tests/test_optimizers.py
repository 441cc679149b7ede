"""The optimizers are the published ones, with a rate and momentum of each step.

Held against plain loops in float64, with tables that change at every step.
"""

import keras
import numpy as np
import pytest
from keras import ops

from smartgrowth import UserError
from smartgrowth.optim import optimizers
from smartgrowth.optim.rates import RateTables

pytestmark = pytest.mark.core

STEPS = 20
DECAY = 0.05
# Uneven on purpose: a value of the wrong step shows.
RATES = 0.05 + 0.04 * np.sin(np.arange(STEPS) * 1.7)
MOMENTA = 0.9 - 0.08 * np.cos(np.arange(STEPS) * 0.9)
SHAPES = [(3, 4), (4,), (2, 2, 3), ()]

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="applied in place"
)


def sgd(weights, gradients, rates, momenta, decay=DECAY):
    """Nesterov's, as Sutskever et al. 2013: the decay first, then the step."""
    values = [np.array(w, np.float64) for w in weights]
    velocities = [np.zeros_like(v) for v in values]
    for gradient, rate, momentum in zip(gradients, rates, momenta, strict=True):
        for i, g in enumerate(gradient):
            if values[i].ndim > 1:
                values[i] = values[i] * (1 - rate * decay)
            velocities[i] = momentum * velocities[i] - rate * g
            values[i] = values[i] + momentum * velocities[i] - rate * g
    return values


def adamw(weights, gradients, rates, momenta, decay=DECAY):
    """Loshchilov and Hutter 2017; a mean is divided by the sum of its weights.

    The weights of the gradients in the running mean are summed one by one, as
    no closed form holds for a beta_1 that varies.
    """
    beta_2, epsilon = 0.99, 1e-7
    values = [np.array(w, np.float64) for w in weights]
    means = [np.zeros_like(v) for v in values]
    squares = [np.zeros_like(v) for v in values]
    weight = weight_2 = 0.0
    for gradient, rate, beta_1 in zip(gradients, rates, momenta, strict=True):
        weight = beta_1 * weight + (1 - beta_1)
        weight_2 = beta_2 * weight_2 + (1 - beta_2)
        for i, g in enumerate(gradient):
            if values[i].ndim > 1:
                values[i] = values[i] * (1 - rate * decay)
            means[i] = beta_1 * means[i] + (1 - beta_1) * g
            squares[i] = beta_2 * squares[i] + (1 - beta_2) * g**2
            root = np.sqrt(squares[i] / weight_2) + epsilon
            values[i] = values[i] - rate * (means[i] / weight) / root
    return values


REFERENCES = {"sgd": sgd, "adamw": adamw}
BOTH = pytest.mark.parametrize("name", REFERENCES)


def start(seed=0):
    random = np.random.default_rng(seed)
    weights = [random.normal(size=shape).astype("float32") for shape in SHAPES]
    gradients = [
        [random.normal(size=shape).astype("float32") for shape in SHAPES]
        for _ in range(STEPS)
    ]
    return weights, gradients


def make(name, variables, decay=DECAY, loss_scale=False):
    optimizer = optimizers.make_optimizer(name, decay, variables, loss_scale)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    inner.install_tables(RateTables(RATES, MOMENTA))
    return optimizer


def close(found, expected, tolerance=1e-5):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(
            np.asarray(a), b, rtol=tolerance, atol=tolerance
        )


@tensorflow_only
@BOTH
@pytest.mark.parametrize("decay", [0.0, DECAY])
def test_twenty_steps_are_those_of_the_paper(name, decay):
    weights, gradients = start()
    variables = [keras.Variable(w) for w in weights]
    optimizer = make(name, variables, decay)
    for count, gradient in enumerate(gradients):
        assert int(optimizer.iterations) == count
        assert float(optimizer.learning_rate) == pytest.approx(RATES[count])
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient])
    expected = REFERENCES[name](weights, gradients, RATES, MOMENTA, decay)
    close(variables, expected)


def test_a_constant_beta_1_is_keras_own_adamw():
    weights, gradients = start(1)
    ours = [keras.Variable(w) for w in weights]
    theirs = [keras.Variable(w) for w in weights]
    optimizer = optimizers.make_optimizer("adamw", DECAY, ours, False)
    optimizer.install_tables(
        RateTables(np.full(STEPS, 0.01), np.full(STEPS, 0.9))
    )
    other = keras.optimizers.AdamW(0.01, beta_2=0.99, weight_decay=DECAY)
    other.exclude_from_weight_decay(
        var_list=[v for v in theirs if len(v.shape) < 2]
    )
    other.build(theirs)
    for gradient in gradients:
        gradient = [ops.convert_to_tensor(g) for g in gradient]
        optimizer.apply(gradient)
        other.apply(gradient)
    close(ours, [np.asarray(v) for v in theirs])


@BOTH
def test_weight_decay_is_decoupled_and_spares_one_dimension(name):
    variables = [keras.Variable(np.full(s, 2.0, "float32")) for s in SHAPES]
    optimizer = make(name, variables)
    zeros = [ops.zeros(shape) for shape in SHAPES]
    for _ in range(3):
        optimizer.apply(zeros)
    shrunk = 2 * np.prod(1 - RATES[:3] * DECAY)
    for variable, shape in zip(variables, SHAPES, strict=True):
        expected = shrunk if len(shape) > 1 else 2.0
        np.testing.assert_allclose(variable, np.full(shape, expected), 1e-6)


@BOTH
def test_beyond_the_tables_their_last_values_serve(name):
    weights, gradients = start()
    variables = [keras.Variable(w) for w in weights]
    optimizer = optimizers.make_optimizer(name, 0.0, variables, False)
    optimizer.install_tables(RateTables(RATES[:15], MOMENTA[:15]))
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(g) for g in gradient])
    held = np.minimum(np.arange(STEPS), 14)
    expected = REFERENCES[name](
        weights, gradients, RATES[held], MOMENTA[held], 0.0
    )
    # AdamW's correction is held as well: it is near 1 by then.
    close(variables, expected, 1e-5 if name == "sgd" else 0.05)


def test_an_unknown_optimizer_is_refused():
    with pytest.raises(UserError, match="--optimizer=lion.*sgd, adamw"):
        optimizers.make_optimizer("lion", 0.0, [], False)


# Inside the compiled step

BATCHES = 12


def regression():
    """Batches of a linear problem, and its gradient in NumPy."""
    random = np.random.default_rng(2)
    x = random.normal(size=(BATCHES, 8, 3)).astype("float32")
    y = random.normal(size=(BATCHES, 8, 2)).astype("float32")
    weights = random.normal(size=(3, 2)).astype("float32")
    return x, y, weights


def trained_in_numpy(name, batches, **others):
    """The weights after these batches: mean squared error, NumPy alone."""
    x, y, weights = regression()
    gradients = []
    reference = REFERENCES[name]
    for step in batches:
        count = len(gradients)
        done = reference(
            [weights], gradients, RATES[:count], MOMENTA[:count], **others
        )
        error = x[step] @ done[0] - y[step]
        gradients.append([2 * x[step].T @ error / error.size])
    count = len(gradients)
    return reference(
        [weights], gradients, RATES[:count], MOMENTA[:count], **others
    )


def linear_model(name, weights):
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, use_bias=False)]
    )
    model.layers[0].kernel.assign(weights)
    model.compile(
        optimizer=make(name, model.trainable_variables),
        loss="mse",
        jit_compile=False,
    )
    return model


def fit(model, begin, end):
    x, y, _ = regression()
    model.fit(
        x[begin:end].reshape(-1, 3),
        y[begin:end].reshape(-1, 2),
        batch_size=8,
        shuffle=False,
        verbose=0,
    )


@BOTH
def test_a_compiled_model_follows_the_tables_through_several_fits(name):
    model = linear_model(name, regression()[2])
    for begin, end in [(0, 5), (5, 6), (6, 12)]:
        assert int(model.optimizer.iterations) == begin
        fit(model, begin, end)
    assert int(model.optimizer.iterations) == BATCHES
    expected = trained_in_numpy(name, range(BATCHES))
    close(model.trainable_variables, expected)
    # It would show: with the tables from their beginning in the last fit.
    reset = np.r_[0:6, 0:6]
    x, y, weights = regression()
    assert RATES[reset[7]] != RATES[7]
    assert not np.allclose(
        np.asarray(model.trainable_variables[0]), weights, atol=1e-2
    )


@BOTH
def test_a_restored_clock_goes_on_with_the_next_rate(name):
    whole = linear_model(name, regression()[2])
    fit(whole, 0, 12)
    first = linear_model(name, regression()[2])
    fit(first, 0, 7)
    second = linear_model(name, np.zeros((3, 2)))
    for new, old in zip(
        [*second.variables, *second.optimizer.variables],
        [*first.variables, *first.optimizer.variables],
        strict=True,
    ):
        new.assign(old)
    assert int(second.optimizer.iterations) == 7
    assert float(second.optimizer.learning_rate) == pytest.approx(RATES[7])
    fit(second, 7, 12)
    np.testing.assert_array_equal(
        np.asarray(second.trainable_variables[0]),
        np.asarray(whole.trainable_variables[0]),
    )


# Float16's loss scaling


@tensorflow_only
@BOTH
@pytest.mark.parametrize("compiled", [False, True])
def test_a_skipped_update_counts_as_a_step_and_changes_no_weight(
    name, compiled
):
    import tensorflow as tf

    weights, gradients = start()
    variables = [keras.Variable(w) for w in weights]
    optimizer = make(name, variables, decay=0.0, loss_scale=True)
    apply = tf.function(optimizer.apply) if compiled else optimizer.apply
    skipped = {1, 2, 6}
    learned = {i: [] for i in range(len(SHAPES))}
    for step in range(8):
        scale = float(optimizer.dynamic_scale)
        before = [np.asarray(v) for v in variables]
        gradient = [ops.convert_to_tensor(g * scale) for g in gradients[step]]
        if step in skipped:
            gradient[2] = gradient[2] * np.inf
        apply(gradient)
        assert int(optimizer.iterations) == step + 1
        if step in skipped:
            close(variables, before, 0)
            assert float(optimizer.dynamic_scale) == scale / 2
        else:
            for i, variable in enumerate(variables):
                learned[i].append(np.asarray(variable) - before[i])
            assert float(optimizer.dynamic_scale) == scale
    assert float(optimizer.learning_rate) == pytest.approx(RATES[8])
    if name == "sgd":
        # The rates of the steps that were not skipped, at their own place.
        kept = [step for step in range(8) if step not in skipped]
        expected = sgd(
            weights,
            [gradients[step] for step in kept],
            RATES[kept],
            MOMENTA[kept],
            0.0,
        )
        close(variables, expected)


def test_a_skipped_update_counts_in_the_form_that_jax_uses_too():
    variables = [keras.Variable(w) for w in start()[0]]
    optimizer = make("sgd", variables, loss_scale=True)
    state = [v.value for v in optimizer.variables]
    values = [v.value for v in variables]
    # What `stateless_apply` calls, which Keras has not with TensorFlow.
    kept, new = optimizer._stateless_handle_non_finite_grads(state, values)
    assert all(a is b for a, b in zip(kept, values, strict=True))
    changed = {
        variable.path: (float(ops.convert_to_tensor(b)))
        for variable, a, b in zip(optimizer.variables, state, new, strict=True)
        if not np.array_equal(np.asarray(a), np.asarray(b))
    }
    assert changed == {
        optimizer.inner_optimizer.iterations.path: 1.0,
        optimizer.dynamic_scale.path: 2.0**14,
    }


@tensorflow_only
@pytest.mark.parametrize("blown", [False, True])
def test_a_float16_fit_keeps_its_clock_when_the_loss_overflows(blown):
    inputs = keras.Input((3,))
    outputs = keras.layers.Dense(2, use_bias=False, dtype="mixed_float16")(
        inputs
    )
    outputs = keras.layers.Activation("linear", dtype="float32")(outputs)
    model = keras.Model(inputs, outputs)
    _, _, weights = regression()
    model.set_weights([weights])
    optimizer = make("sgd", model.trainable_variables, loss_scale=True)
    if blown:
        optimizer.dynamic_scale.assign(2.0**40)
    model.compile(
        optimizer=optimizer,
        loss="mse",
        jit_compile=False,
        auto_scale_loss=False,
    )
    fit(model, 0, BATCHES)
    assert int(optimizer.iterations) == BATCHES
    moved = not np.array_equal(model.get_weights()[0], weights)
    assert moved != blown
    scale = 2.0 ** (40 - BATCHES) if blown else 2.0**15
    assert float(optimizer.dynamic_scale) == scale


@tensorflow_only
def test_gradients_that_come_back_after_a_stage_learned_by_heart_are_bounded():
    """With beta_2 of 0.999 the largest of these moves is 4.3 rates."""
    steps, rate = 1050, 0.01
    weight = keras.Variable(np.zeros((2, 2), np.float32))
    optimizer = optimizers.make_optimizer("adamw", 0.0, [weight], False)
    optimizer.install_tables(
        RateTables(np.full(steps, rate), np.full(steps, 0.9))
    )
    largest = 0.0
    for step in range(steps):
        size = 1.0 if step < 20 or step >= 1000 else 1e-4
        before = np.array(weight.numpy())
        optimizer.apply([ops.full((2, 2), size)], [weight])
        if step >= 1000:
            largest = max(largest, np.abs(weight.numpy() - before).max())
    assert rate < largest < 3 * rate
