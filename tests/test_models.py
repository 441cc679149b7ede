"""Every network takes images of many sizes and costs what the counter says."""

import functools
import math
import subprocess
import sys

import keras
import numpy as np
import pytest

from smartgrowth import UserError
from smartgrowth.models import keras_layers
from smartgrowth.models.keras_layers import FusedBatchNormalization
from smartgrowth.models.network import MODELS, Network
from smartgrowth.runs import checkpoint

MEAN, VARIANCE = (120.0, 110.0, 100.0), (4000.0, 3500.0, 3000.0)
CLASSES = 7

tensorflow_only = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="the fused op"
)


@functools.cache
def built(name, width=8, depth=1) -> keras.Model:
    """A model that tests read and never change."""
    return Network(name, CLASSES, width, depth).build(MEAN, VARIANCE)


def images(count, size, seed=0):
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (count, size, size, 3)).astype("float32")


def sizes_of(name):
    stride = MODELS[name].stride
    return [stride, 2 * stride, 3 * stride, 5 * stride, 64, 224]


# The counter, against the built model


def count_layers(model, size) -> tuple[int, dict]:
    """Forward FLOPs and how many layers gave any, from the layers' kernels."""
    flops, kinds = 0, {}
    tensors = [layer.output for layer in model.layers]
    shapes = keras.Model(model.inputs, tensors).compute_output_shape(
        (1, size, size, 3)
    )
    for layer, shape in zip(model.layers, shapes, strict=True):
        if isinstance(
            layer, keras.layers.Conv2D | keras.layers.DepthwiseConv2D
        ):
            # One kernel's worth of multiply-adds at each position.
            flops += 2 * shape[1] * shape[2] * int(np.prod(layer.kernel.shape))
        elif isinstance(layer, keras.layers.Dense):
            assert len(shape) == 2
            flops += 2 * int(np.prod(layer.kernel.shape))
        else:
            # What has no weights or none that multiply in a matrix.
            assert all(len(w.shape) <= 1 for w in layer.trainable_weights)
            continue
        kinds[type(layer).__name__] = kinds.get(type(layer).__name__, 0) + 1
    return flops, kinds


@pytest.mark.parametrize("name", MODELS)
def test_the_flops_are_those_of_the_built_layers(name):
    network = Network(name, CLASSES, width=8, depth=1)
    for size in sizes_of(name):
        network.check_size(size)
        flops, kinds = count_layers(built(name), size)
        assert network.flops_per_image(size) == flops, (size, kinds)
    assert flops > 10_000


@pytest.mark.parametrize("name", MODELS)
def test_the_parameters_are_those_of_the_built_model(name):
    counted = Network(name, CLASSES, width=8, depth=1).count_parameters()
    weights = built(name).trainable_weights
    assert counted == sum(int(np.prod(w.shape)) for w in weights)


@pytest.mark.parametrize("name", ["resnet", "resnet_dense", "cnn"])
def test_every_stage_may_have_a_depth_of_its_own(name):
    network = Network(name, CLASSES, width=4, depth=(0, 1, 2, 1))
    model = network.build(MEAN, VARIANCE)
    assert network.flops_per_image(32) == count_layers(model, 32)[0]
    shallow, other = (
        Network(name, CLASSES, width=4, depth=depth).count_parameters()
        for depth in (1, (0, 1, 1, 2))
    )
    assert other > network.count_parameters() > shallow
    same = Network(name, CLASSES, width=4, depth=(1, 1, 1, 1))
    assert same.count_parameters() == shallow


def test_a_list_of_depths_has_one_for_every_stage():
    message = r"--depth=1,2: --model=resnet takes one number, or 4, one"
    with pytest.raises(UserError, match=message):
        Network("resnet", CLASSES, depth=(1, 2))
    message = r"--depth=1,1,1,1: --model=mlp takes one number$"
    with pytest.raises(UserError, match=message):
        Network("mlp", CLASSES, depth=(1, 1, 1, 1))


@pytest.mark.parametrize("name", ["resnet", "resnet_dense", "cnn"])
def test_every_stage_may_have_a_width_of_its_own(name):
    network = Network(name, CLASSES, width=(4, 4, 12, 20), depth=1)
    model = network.build(MEAN, VARIANCE)
    assert model.count_params() > network.count_parameters() > 0
    trainable = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert network.count_parameters() == trainable
    assert model(np.zeros((1, 16, 16, 3))).shape == (1, CLASSES)
    doubled = Network(name, CLASSES, width=(4, 8, 16, 32), depth=1)
    same = Network(name, CLASSES, width=4, depth=1)
    assert doubled.flops_per_image(16) == same.flops_per_image(16)
    assert doubled.count_parameters() == same.count_parameters()


def test_widths_are_refused_that_no_network_can_have():
    with pytest.raises(UserError, match=r"--width=8,16: --model=resnet takes"):
        Network("resnet", CLASSES, width=(8, 16))
    narrower = Network("resnet", CLASSES, width=(8, 8, 4, 8))
    with pytest.raises(UserError, match=r"--width=8,8,4,8: .* cannot have few"):
        narrower.flops_per_image(16)
    assert Network("cnn", CLASSES, width=(8, 8, 4, 8)).flops_per_image(16)


@pytest.mark.parametrize("name", ["resnet", "resnet_dense", "cnn", "mlp"])
def test_width_and_depth_are_counted(name):
    network = Network(name, CLASSES, width=12, depth=3)
    model = network.build(MEAN, VARIANCE)
    assert network.flops_per_image(32) == count_layers(model, 32)[0]
    weights = model.trainable_weights
    assert network.count_parameters() == sum(
        int(np.prod(w.shape)) for w in weights
    )
    assert (
        network.count_parameters()
        > Network(name, CLASSES, width=8, depth=1).count_parameters()
    )


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        # As torchvision's tables have them, at 224 px for 1000 classes.
        ("resnet34", 21_797_672, 3.66e9),
        ("resnet50", 25_557_032, 4.09e9),
        ("resnext50", 25_028_904, 4.23e9),
    ],
)
def test_the_published_networks_have_their_published_sizes(
    name, parameters, multiply_adds
):
    network = Network(name, 1000)
    assert network.count_parameters() == parameters
    assert network.flops_per_image(224) == pytest.approx(
        2 * multiply_adds, rel=5e-3
    )


def test_the_grouped_convolutions_count_their_groups():
    groups = {
        layer.groups
        for layer in built("resnext50").layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    assert groups == {1, 32}


# Sizes


@pytest.mark.parametrize("name", MODELS)
def test_the_same_weights_take_two_image_sizes(name):
    model = built(name)
    stride = MODELS[name].stride
    for size in (max(stride, 16), 2 * max(stride, 16)):
        logits = model(images(2, size), training=False)
        assert logits.shape == (2, CLASSES)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(np.asarray(logits)).all()
        # The image matters.
        assert not np.allclose(logits[0], logits[1])
    assert model.input_shape == (None, None, None, 3)
    assert model.output_shape == (None, CLASSES)


@pytest.mark.parametrize("size", [8, 16, 23, 48])
def test_the_perceptron_sees_its_grid_of_any_image(size):
    """Cell i of a grid of g is the mean of rows i*s // g to ceil((i+1)*s/g)."""
    shown = images(2, size)
    cells = np.zeros((2, 16, 16, 3))
    for i in range(16):
        for j in range(16):
            rows = slice(i * size // 16, -(-(i + 1) * size // 16))
            columns = slice(j * size // 16, -(-(j + 1) * size // 16))
            cells[:, i, j] = shown[:, rows, columns].mean(axis=(1, 2))
    model = built("mlp")
    np.testing.assert_allclose(
        model(shown, training=False),
        model(cells.astype("float32"), training=False),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("resnet", 20, "image size 20 .*--model=resnet.* by 8; .*16 or 24"),
        ("resnet", 4, "a multiple of 8, such as 8$"),
        ("resnet50", 33, "by 32; .*32 or 64"),
        ("lenet5", 30, "28 or 32"),
        ("cnn", 63, "56 or 64"),
    ],
)
def test_a_size_that_loses_the_border_is_refused(name, size, message):
    with pytest.raises(UserError, match=message):
        Network(name, CLASSES).check_size(size)


@pytest.mark.parametrize("name", MODELS)
def test_multiples_of_the_stride_are_taken_and_nothing_else(name):
    network, stride = Network(name, CLASSES), MODELS[name].stride
    for size in range(1, 130):
        if size % stride == 0:
            network.check_size(size)
        else:
            with pytest.raises(UserError, match=str(size)):
                network.check_size(size)


@pytest.mark.parametrize("name", MODELS)
def test_the_stride_is_that_of_the_built_model(name):
    """The last map before the global pooling has size / stride pixels."""
    model, stride = built(name), MODELS[name].stride
    side = 4 * stride
    smallest = side
    tensors = [layer.output for layer in model.layers]
    shapes = keras.Model(model.inputs, tensors).compute_output_shape(
        (1, side, side, 3)
    )
    fixed = keras.layers.AdaptiveAveragePooling2D
    for layer, shape in zip(model.layers, shapes, strict=True):
        if isinstance(layer, fixed):
            break
        if len(shape) == 4:
            smallest = min(smallest, shape[1])
    assert smallest == side // stride


def test_an_unknown_model_is_refused():
    with pytest.raises(UserError) as error:
        Network("resnet18", CLASSES)
    assert "--model=resnet18" in str(error.value)
    for name in MODELS:
        assert name in str(error.value)


# What the networks promise


def norms_of(model) -> tuple[list, list]:
    """The batch norms whose gain is zero, and those whose gain is one."""
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    gains = [np.unique(layer.gamma).tolist() for layer in norms]
    assert all(gain in ([0.0], [1.0]) for gain in gains)
    return tuple(
        [n for n, gain in zip(norms, gains, strict=True) if gain == [wanted]]
        for wanted in (0.0, 1.0)
    )


@pytest.mark.parametrize("name", ["resnet", "resnet_dense"])
def test_the_last_norm_of_every_block_starts_at_zero(name):
    network = Network(name, CLASSES, width=4, depth=2)
    zero, one = norms_of(network.build(MEAN, VARIANCE))
    blocks = 4 * 2
    # Two a block, one in the stem and in each of the three transitions.
    assert (len(zero), len(one)) == (blocks, blocks + 4)


@pytest.mark.parametrize("name", ["resnet34", "resnet50", "resnext50"])
def test_the_published_networks_blocks_start_at_zero_too(name):
    zero, _ = norms_of(built(name))
    assert len(zero) == 3 + 4 + 6 + 3


def test_a_residual_block_starts_as_the_identity():
    model = Network("resnet", CLASSES, width=4, depth=2).build(MEAN, VARIANCE)
    zero, _ = norms_of(model)
    shown = images(2, 16)
    before = np.asarray(model(shown, training=False))
    # The 1x1 kernels are all in the blocks' long ways.
    for layer in model.layers:
        if getattr(layer, "kernel_size", None) == (1, 1):
            layer.kernel.assign(layer.kernel * 3.0 + 1.0)
    after = np.asarray(model(shown, training=False))
    np.testing.assert_array_equal(after, before)
    for layer in zero:
        layer.gamma.assign(layer.gamma + 1.0)
    moved = np.asarray(model(shown, training=False))
    assert not np.allclose(moved, before, rtol=1e-2)


def test_raw_pixels_are_normalized_by_the_training_set():
    model = built("mlp")
    (layer,) = (
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Normalization)
    )
    shown = images(1, 16)
    expected = (shown - MEAN) / np.sqrt(VARIANCE)
    np.testing.assert_allclose(layer(shown), expected, rtol=1e-5, atol=1e-5)


def test_dropout_is_there_only_when_asked_for():
    for name in MODELS:
        kinds = {type(layer).__name__ for layer in built(name).layers}
        assert "Dropout" not in kinds
    for name in ("resnet", "cnn", "lenet5", "mlp"):
        model = Network(name, CLASSES, 8, 1, 0.3).build(MEAN, VARIANCE)
        rates = [x.rate for x in model.layers if hasattr(x, "rate")]
        assert rates == [0.3]


@pytest.mark.parametrize("name", ["resnet", "mlp"])
def test_half_precision_computes_in_it_and_answers_in_float32(name):
    network = Network(name, CLASSES, width=8, depth=1)
    model = network.build(MEAN, VARIANCE, "mixed_bfloat16")
    arrays = checkpoint.collect({"model": built(name).variables})
    checkpoint.restore({"model": model.variables}, arrays)
    for variable in model.trainable_variables:
        assert keras.backend.standardize_dtype(variable.dtype) == "float32"
    inner = [
        layer.compute_dtype for layer in model.layers if layer.trainable_weights
    ]
    assert set(inner) == {"bfloat16"}
    shown = images(4, 16)
    logits = model(shown, training=False)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    exact = np.asarray(built(name)(shown, training=False))
    # 8 bits of mantissa through a dozen layers.
    np.testing.assert_allclose(logits, exact, atol=0.05 * np.abs(exact).max())


# The fused batch norm


def pair(dtype="float32"):
    """A fused and a stock network of the same, lively weights."""
    network = Network("resnet", CLASSES, width=4, depth=1)
    models = [
        network.build(MEAN, VARIANCE, dtype, stock) for stock in (False, True)
    ]
    random = np.random.default_rng(1)
    for mine, theirs in zip(*(m.variables for m in models), strict=True):
        assert mine.shape == theirs.shape
        value = np.asarray(mine)
        if mine.name in ("gamma", "moving_variance"):
            value = random.uniform(0.5, 1.5, mine.shape)
        elif mine.name in ("beta", "moving_mean"):
            value = random.normal(0, 0.1, mine.shape)
        mine.assign(value)
        theirs.assign(value)
    return models


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


@tensorflow_only
def test_the_fused_norm_is_used_unless_stock_layers_are_asked_for():
    fused, stock = pair()
    assert "FusedBatchNormalization" in kinds(fused)
    assert "BatchNormalization" not in kinds(fused)
    assert "FusedBatchNormalization" not in kinds(stock)
    for layer in stock.layers:
        assert type(layer).__module__.startswith("keras.")


def learn(model, shown):
    """Logits and gradients of a training step; moves running statistics."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        logits = model(shown, training=True)
        loss = tf.reduce_sum(logits**2)
    weights = [v.value for v in model.trainable_variables]
    return logits.numpy(), [g.numpy() for g in tape.gradient(loss, weights)]


@tensorflow_only
def test_the_fused_and_the_stock_norm_agree():
    fused, stock = pair()
    for step in range(4):
        shown = images(4, 16, seed=step)
        logits, gradients = learn(fused, shown)
        expected, expected_gradients = learn(stock, shown)
        np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-3)
        for mine, theirs in zip(gradients, expected_gradients, strict=True):
            # Sums of thousands of terms: against the largest.
            scale = np.abs(theirs).max()
            np.testing.assert_allclose(mine, theirs, atol=2e-3 * scale)
    for mine, theirs in zip(fused.variables, stock.variables, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-3)
    shown = images(4, 24, seed=9)
    np.testing.assert_allclose(
        fused(shown, training=False),
        stock(shown, training=False),
        rtol=1e-3,
        atol=1e-3,
    )


@tensorflow_only
@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (1, 1, 1, 3), (4, 3, 5, 3)])
def test_the_running_variance_is_the_batchs_own(shape):
    """Divided by n, not by n - 1, which is far from it for few pixels."""
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-5)
    layer.build((None, None, None, 3))
    mean, variance = np.zeros(3), np.ones(3)
    for step in range(5):
        x = np.random.default_rng(step).normal(2, 3, shape).astype("float32")
        found = layer(x, training=True)
        own_mean, own_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        np.testing.assert_allclose(
            found,
            (x - own_mean) / np.sqrt(own_variance + 1e-5),
            rtol=1e-3,
            atol=1e-3,
        )
        mean = 0.9 * mean + 0.1 * own_mean
        variance = 0.9 * variance + 0.1 * own_variance
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4)
    x = np.ones((1, 2, 2, 3), np.float32)
    np.testing.assert_allclose(
        layer(x, training=False)[0, 0, 0],
        (1 - mean) / np.sqrt(variance + 1e-5),
        rtol=1e-3,
        atol=1e-4,
    )


@tensorflow_only
def test_a_frozen_fused_norm_keeps_its_statistics():
    layer = FusedBatchNormalization(momentum=0.9, epsilon=1e-5)
    layer.build((None, None, None, 3))
    layer.trainable = False
    x = np.random.default_rng(0).normal(5, 2, (4, 2, 2, 3)).astype("float32")
    np.testing.assert_allclose(layer(x, training=True), x, rtol=1e-4)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(3))
    np.testing.assert_array_equal(layer.moving_variance, np.ones(3))


@tensorflow_only
def test_the_fused_norm_keeps_float32_statistics_in_half_precision():
    fused, stock = pair("mixed_bfloat16")
    shown = images(4, 16)
    logits, gradients = learn(fused, shown)
    expected, _ = learn(stock, shown)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(logits, expected, atol=0.1 * scale)
    assert all(np.isfinite(g).all() for g in gradients)
    for layer in fused.layers:
        if isinstance(layer, FusedBatchNormalization):
            dtype = layer.moving_variance.dtype
            assert keras.backend.standardize_dtype(dtype) == "float32"
            assert layer.compute_dtype == "bfloat16"


# final.keras

LOAD = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "smartgrowth":
            raise ImportError("this machine has no smartgrowth")

sys.meta_path.insert(0, Refuse())
try:
    import smartgrowth
except ImportError:
    pass
else:
    raise SystemExit("smartgrowth was there after all")
import keras
import numpy as np

model = keras.saving.load_model("final.keras")
with np.load("shown.npz") as shown:
    found = {name: model.predict(shown[name], verbose=0) for name in shown}
np.savez("found.npz", **found)
"""


@tensorflow_only
def test_a_stock_model_opens_where_smartgrowth_is_not(tmp_path):
    network = Network("resnet", CLASSES, width=4, depth=1)
    trained, _ = pair()
    learn(trained, images(4, 16))
    stock = network.build(MEAN, VARIANCE, stock=True)
    arrays = checkpoint.collect({"model": trained.variables})
    checkpoint.restore({"model": stock.variables}, arrays)
    stock.save(tmp_path / "final.keras")
    shown = {f"px{size}": images(3, size).astype("uint8") for size in (16, 24)}
    np.savez(tmp_path / "shown.npz", **shown)
    subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    with np.load(tmp_path / "found.npz") as found:
        for name, pixels in shown.items():
            expected = trained(pixels.astype("float32"), training=False)
            np.testing.assert_allclose(
                found[name], expected, rtol=1e-3, atol=1e-3
            )


@pytest.mark.core
@pytest.mark.parametrize("side", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "options",
    [
        {"padding": "same", "use_bias": False},
        # What it leaves to the stock layer.
        {"padding": "same", "bias_initializer": "ones"},
        {"padding": "same", "use_bias": False, "activation": "relu"},
        {"padding": "same", "use_bias": False, "strides": 2},
    ],
)
def test_padding_small_maps_changes_no_output_and_no_gradient(side, options):
    """Of a depthwise convolution; the sum of squares stands for a loss."""
    random = np.random.default_rng(0)
    maps = random.normal(size=(2, side, side + side // 4, 3))
    ours = keras_layers.SmallMapDepthwiseConv2D(3, **options)
    stock = keras.layers.DepthwiseConv2D(3, **options)
    for layer in (ours, stock):
        layer.build(maps.shape)
    stock.kernel.assign(np.array(ours.kernel))
    np.testing.assert_allclose(ours(maps), stock(maps), atol=1e-6)
    moved = []
    for layer in (ours, stock):
        outputs = layer(image := keras.Input((*maps.shape[1:3], 3)))
        model = keras.Model(image, outputs)
        model.compile(keras.optimizers.SGD(1.0), "mse")
        model.fit(maps, np.zeros((2, *outputs.shape[1:])), verbose=0)
        moved.append(np.array(layer.kernel))
    np.testing.assert_allclose(*moved, atol=1e-6)
