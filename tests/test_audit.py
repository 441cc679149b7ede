"""The audit finds what breaks a rule, by name, and passes what breaks none."""

import types

import keras
import numpy as np
import pytest

from smartgrowth import UserError, modes
from smartgrowth.config import Config
from smartgrowth.experiment import make_experiment
from smartgrowth.models import audit
from smartgrowth.models.network import MODELS, Network

MEAN = VARIANCE = (100.0, 100.0, 100.0)
WIDENS = "no 1x1 convolution that widens"
DENSE = "no dense layer"
DROPOUT = "no dropout"
JUDGED = "nothing that cannot be judged"
PARAMETERS = "under 26 M parameters"


def build(name, classes=200, **dimensions):
    network = Network(name, classes, **dimensions)
    return network.build(MEAN, VARIANCE, stock=True)


def make(*layers, shape=(None, None, 8)) -> keras.Model:
    x = image = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def findings(model, epochs=10.0, size=32) -> dict:
    return {f.rule: f for f in audit.audit(model, epochs, size)}


def broken(model, **facts) -> list[str]:
    found = findings(model, **facts)
    return [rule for rule, finding in found.items() if finding.passed is False]


@pytest.mark.parametrize("name", ["resnet", "resnet_dense", "cnn"])
def test_the_networks_of_our_own_pass_every_rule(name):
    model = build(name, width=8, depth=1)
    assert broken(model) == []
    found = findings(model)
    judged = [rule for rule, f in found.items() if f.passed is True]
    assert len(judged) == 8
    informing = [rule for rule, f in found.items() if f.passed is None]
    assert informing == ["receptive field against image size"]


def test_the_default_network_for_tiny_imagenet_passes():
    model = Network("resnet", 200).build(MEAN, VARIANCE)
    assert broken(model, size=64) == []
    parameters = Network("resnet", 200).count_parameters()
    shown = findings(model)[PARAMETERS].detail.replace(",", "")
    # With the batch norms' running statistics.
    assert parameters < int(shown) < 1.05 * parameters


def test_resnet50_is_named_layer_by_layer():
    model = build("resnet50")
    assert broken(model, size=64) == [WIDENS, DENSE]
    found = findings(model, size=64)
    (dense,) = (x for x in model.layers if isinstance(x, keras.layers.Dense))
    assert found[DENSE].detail == f"{dense.name} (200 units)"
    wide = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and layer.kernel_size == (1, 1)
        and layer.kernel.shape[3] > layer.kernel.shape[2]
    ]
    # The last of each of 16 blocks, and the shortcuts that widen: 64 to 256,
    # 256 to 512, 512 to 1024, 1024 to 2048.
    assert len(wide) == 16 + 4
    detail = found[WIDENS].detail
    assert detail.count(" -> ") == 4
    assert f"{wide[0].name} (64 -> 256)" in detail
    assert detail.endswith(" and 16 more")
    assert found[PARAMETERS].passed  # 23.9 M with 200 classes


@pytest.mark.parametrize(
    ("name", "rules"),
    [("lenet5", [DENSE]), ("mlp", [DENSE]), ("resnet34", [WIDENS, DENSE])],
)
def test_the_other_published_networks_break_what_they_break(name, rules):
    assert broken(build(name, width=8, depth=1)) == rules


def test_too_many_parameters_are_counted():
    # 1000 * 1000 * 9 * 3 = 27 M.
    convs = [keras.layers.Conv2D(1000, 3) for _ in range(3)]
    model = make(*convs, shape=(None, None, 1000))
    assert broken(model) == [PARAMETERS]
    assert findings(model)[PARAMETERS].detail == "27,003,000"


def test_too_many_epochs_are_counted():
    model = make(keras.layers.Conv2D(8, 3))
    assert broken(model, epochs=500.0) == []
    assert broken(model, epochs=500.1) == ["at most 500 epochs"]
    assert (
        "500.1 in the plan"
        in findings(model, 500.1)["at most 500 epochs"].detail
    )


def layer(kind, *arguments, **options):
    """Makes a layer when called: one that was used belongs to its model."""
    options = {"name": "a"} | options
    return lambda: getattr(keras.layers, kind)(*arguments, **options)


def wrapped(kind, inner):
    return lambda: getattr(keras.layers, kind)(inner(), name="outer")


def attend(kind="MultiHeadAttention", **options):
    """A layer that takes its input several times, as one that takes it once."""

    def make_attention():
        if kind == "MultiHeadAttention":
            attention = keras.layers.MultiHeadAttention(2, 4, **options)
            return lambda x: attention(x, x)
        attention = getattr(keras.layers, kind)(name="a", **options)
        return lambda x: attention([x, x])

    return make_attention


class Mixer(keras.layers.Layer):
    """A dense layer of one's own."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 5))

    def call(self, x):
        return keras.ops.matmul(x, self.kernel)

    def compute_output_shape(self, shape):
        return (*shape[:-1], 5)


class Hider(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="hider")
        self.inner = keras.layers.Dense(3, name="inner")

    def call(self, x):
        return self.inner(x)


class DropPath(keras.layers.Layer):
    def call(self, x):
        return x


class Skipping(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="skipping")
        self.drop_probability = 0.1

    def call(self, x):
        return x


class Wide(keras.layers.Conv2D):
    """Not what its parent computes."""

    def call(self, x):
        return keras.ops.flip(super().call(x))


class Secret(keras.Model):
    """A functional model, by its looks."""

    def call(self, x):
        return super().call(x) * 2.0


def secret():
    x = keras.Input((8, 8, 8))
    return Secret(x, keras.layers.ReLU()(x), name="secret")


def nested(*makers):
    """A model within a model within a model."""

    def make_nested():
        inner = keras.Sequential([maker() for maker in makers], name="inner")
        inner.build((None, None, None, 8))
        return make(inner)

    return make_nested


RESHAPE = layer("Reshape", (64, 8), name="reshape")
COLUMN = layer("Reshape", (512, 1), name="column")
VECTOR = layer("Reshape", (1, 1, 512), name="vector")
# Channels as positions: a 1x1 then connects all positions.
TOKENS = layer("Permute", (2, 1), name="tokens")
POOL = layer("GlobalAveragePooling2D", keepdims=True, name="pool")
CUBE = layer("Reshape", (8, 8, 1, 8), name="cube")
STEPS = layer("Reshape", (64, 8), name="steps")

# name -> layers one after another on an 8x8 map of 8 channels, the rules that
# they break, and what is said of the first of these.
CHEATS = {
    # 1x1 convolutions that widen
    "1x1": ([layer("Conv2D", 9, 1)], WIDENS, "a (8 -> 9)"),
    "strided": ([layer("Conv2D", 16, 1, 2)], WIDENS, "a (8 -> 16)"),
    "grouped": ([layer("Conv2D", 16, 1, groups=8)], WIDENS, "a (8 -> 16)"),
    "separable": ([layer("SeparableConv2D", 9, 3)], WIDENS, "a (8 -> 9)"),
    "hidden pointwise": (
        [layer("SeparableConv2D", 8, 3, depth_multiplier=2)],
        WIDENS,
        "a (8 -> 16)",
    ),
    "depthwise": (
        [layer("DepthwiseConv2D", 1, depth_multiplier=3)],
        WIDENS,
        "a (8 -> 24)",
    ),
    "transposed": ([layer("Conv2DTranspose", 9, 1)], WIDENS, "a (8 -> 9)"),
    # Each output reads one position, through one tap.
    "transposed 2x2": (
        [layer("Conv2DTranspose", 9, 2, strides=2)],
        WIDENS,
        "a (8 -> 9)",
    ),
    "Conv1D": ([RESHAPE, layer("Conv1D", 9, 1)], WIDENS, "a (8 -> 9)"),
    "separable Conv1D": (
        [RESHAPE, layer("SeparableConv1D", 9, 3)],
        WIDENS,
        "a (8 -> 9)",
    ),
    "Conv3D": ([CUBE, layer("Conv3D", 9, 1)], WIDENS, "a (8 -> 9)"),
    # Eight apart, on a map of eight: only the middle of the kernel is used.
    "far dilated": (
        [layer("Conv2D", 9, 3, dilation_rate=8, padding="same")],
        WIDENS,
        "a (8 -> 9)",
    ),
    "in TimeDistributed": (
        [wrapped("TimeDistributed", layer("Conv1D", 9, 1))],
        WIDENS,
        "a (8 -> 9)",
    ),
    "in SpectralNormalization": (
        [wrapped("SpectralNormalization", layer("Conv2D", 9, 1))],
        WIDENS,
        "a (8 -> 9)",
    ),
    "nested": ([nested(layer("Conv2D", 9, 1))], WIDENS, "a (8 -> 9)"),
    # Fully connected layers
    "Dense": ([layer("Dense", 3)], DENSE, "a (3 units)"),
    "EinsumDense": (
        [layer("EinsumDense", "bhwc,hwcd->bd", 3)],
        DENSE,
        "a (bhwc,hwcd->bd)",
    ),
    "Dense in TimeDistributed": (
        [wrapped("TimeDistributed", layer("Dense", 3))],
        DENSE,
        "a (3 units)",
    ),
    "Dense in SpectralNormalization": (
        [wrapped("SpectralNormalization", layer("Dense", 3))],
        DENSE,
        "a (3 units)",
    ),
    "Dense in two wrappers": (
        [
            wrapped(
                "TimeDistributed",
                wrapped("SpectralNormalization", layer("Dense", 3)),
            )
        ],
        DENSE,
        "a (3 units)",
    ),
    "nested Dense": ([nested(layer("Dense", 3))], DENSE, "a (3 units)"),
    "as large as its map": (
        [layer("Conv2D", 4, 8)],
        DENSE,
        "a (4 filters of 8x8 on a 8x8 map)",
    ),
    "larger than its map": (
        [layer("Conv2D", 4, 15, padding="same")],
        DENSE,
        "a (4 filters of 15x15 on a 8x8 map)",
    ),
    "as large, transposed": (
        [POOL, layer("Conv2DTranspose", 4, 8)],
        DENSE,
        "a (4 filters of 8x8 on a 1x1 map)",
    ),
    "as large, in groups": ([layer("Conv2D", 4, 8, groups=2)], DENSE, None),
    "as large, by channel": ([layer("DepthwiseConv2D", 8)], DENSE, None),
    "after pooling": (
        [POOL, layer("Conv2D", 2, 1)],
        DENSE,
        "a (2 filters of 1x1 on a 1x1 map)",
    ),
    "3x3 after pooling": (
        [POOL, layer("Conv2D", 2, 3, padding="same")],
        DENSE,
        "a (2 filters of 3x3 on a 1x1 map)",
    ),
    "separable after pooling": (
        [POOL, layer("SeparableConv2D", 2, 3, padding="same")],
        DENSE,
        None,
    ),
    "after pooling by 8": (
        [layer("AveragePooling2D", 8, name="p"), layer("Conv2D", 2, 1)],
        DENSE,
        None,
    ),
    "after flattening": ([VECTOR, layer("Conv2D", 2, 1)], DENSE, None),
    "Conv1D of a column": (
        [COLUMN, layer("Conv1D", 2, 512)],
        DENSE,
        "a (2 filters of 512 on a 512 map)",
    ),
    "Conv1D of all positions": ([RESHAPE, layer("Conv1D", 2, 64)], DENSE, None),
    "1x1 over positions": (
        [RESHAPE, TOKENS, layer("Conv1D", 2, 1)],
        DENSE,
        "a (2 filters of 1 on a 8 map)",
    ),
    "LSTM": ([STEPS, layer("LSTM", 3)], DENSE, "a (3 units)"),
    "both ways": (
        [STEPS, wrapped("Bidirectional", layer("GRU", 3))],
        DENSE,
        None,
    ),
    "attention": ([STEPS, attend("Attention")], DENSE, "a (Attention)"),
    "heads of attention": ([STEPS, attend()], DENSE, None),
    # Dropout
    "Dropout": ([layer("Dropout", 0.1)], DROPOUT, "a"),
    "SpatialDropout2D": ([layer("SpatialDropout2D", 0.1)], DROPOUT, "a"),
    "GaussianDropout": ([layer("GaussianDropout", 0.1)], DROPOUT, "a"),
    "AlphaDropout": ([layer("AlphaDropout", 0.1)], DROPOUT, "a"),
    "wrapped Dropout": (
        [wrapped("TimeDistributed", layer("Dropout", 0.1))],
        DROPOUT,
        "a",
    ),
    "nested Dropout": ([nested(layer("Dropout", 0.1))], DROPOUT, "a"),
    "of an LSTM": (
        [STEPS, layer("LSTM", 3, dropout=0.2)],
        (DROPOUT, DENSE),
        "a (dropout 0.2)",
    ),
    "of its state": (
        [STEPS, layer("GRU", 3, recurrent_dropout=0.2)],
        (DROPOUT, DENSE),
        "a (recurrent_dropout 0.2)",
    ),
    "of attention": (
        [STEPS, attend("Attention", dropout=0.2)],
        (DROPOUT, DENSE),
        "a (dropout 0.2)",
    ),
    "of heads": ([STEPS, attend(dropout=0.2)], (DROPOUT, DENSE), None),
    "DropPath": ([DropPath], (DROPOUT, JUDGED), None),
    "under another name": (
        [Skipping],
        (DROPOUT, JUDGED),
        "skipping (drop_probability 0.1)",
    ),
    # What cannot be judged
    "custom": (
        [lambda: Mixer(name="mixer")],
        JUDGED,
        "mixer (layer Mixer with weights (8, 5))",
    ),
    "custom, in a wrapper": (
        [wrapped("TimeDistributed", lambda: Mixer(name="mixer"))],
        JUDGED,
        "mixer (layer Mixer with weights (8, 5))",
    ),
    "a layer in a custom one": ([Hider], (DENSE, JUDGED), "inner (3 units)"),
    "a subclass": ([lambda: Wide(8, 3, name="a")], JUDGED, None),
    "a model's own call": (
        [secret],
        JUDGED,
        "secret (layer Secret with no weights)",
    ),
    "Lambda": (
        [lambda: keras.layers.Lambda(lambda x: x[..., ::-1], name="a")],
        JUDGED,
        "a (layer Lambda with no weights)",
    ),
    "an activation": (
        [lambda: keras.layers.Activation(lambda x: x * 2, name="a")],
        JUDGED,
        "a (activation <lambda>)",
    ),
    "an operation": (
        [lambda: lambda x: keras.ops.matmul(x, np.ones((8, 9), "float32"))],
        JUDGED,
        None,
    ),
    "Embedding": (
        [STEPS, layer("Embedding", 3, 4)],
        JUDGED,
        "a (layer Embedding with weights (3, 4))",
    ),
    "over columns, pooled": (
        [
            RESHAPE,
            TOKENS,
            layer("AveragePooling1D", 2, name="p"),
            layer("Conv1D", 2, 3),
        ],
        JUDGED,
        "a (on rearranged axes)",
    ),
}

HONEST = {
    "1x1 that keeps": [layer("Conv2D", 8, 1)],
    "1x1 that narrows": [layer("Conv2D", 4, 1)],
    "1x1 in groups": [layer("Conv2D", 8, 1, groups=4)],
    "3x3": [layer("Conv2D", 64, 3)],
    "1x3": [layer("Conv2D", 64, (1, 3))],
    "dilated": [layer("Conv2D", 64, 3, dilation_rate=2, padding="same")],
    "7x7": [layer("Conv2D", 64, 7, padding="same")],
    "separable": [layer("SeparableConv2D", 8, 3)],
    "separable that narrows": [layer("SeparableConv2D", 4, 3)],
    "depthwise 1x1": [layer("DepthwiseConv2D", 1)],
    "depthwise": [layer("DepthwiseConv2D", 3)],
    "two a channel": [layer("DepthwiseConv2D", 3, depth_multiplier=2)],
    "transposed": [layer("Conv2DTranspose", 16, 3, strides=2, padding="same")],
    "transposed that narrows": [layer("Conv2DTranspose", 4, 2, strides=2)],
    "Conv1D": [RESHAPE, layer("Conv1D", 16, 3)],
    "Conv3D": [CUBE, layer("Conv3D", 16, (3, 3, 1))],
    "3x3 on a 2x2 map": [
        layer("AveragePooling2D", 4, name="p"),
        layer("Conv2D", 16, 3, padding="same"),
    ],
    "a wrapped 3x3": [wrapped("SpectralNormalization", layer("Conv2D", 16, 3))],
    "each row": [wrapped("TimeDistributed", layer("Conv1D", 16, 3))],
    "nested": [nested(layer("Conv2D", 16, 3), layer("ReLU", name="b"))],
    "norms": [
        layer("BatchNormalization", name="b"),
        layer("LayerNormalization", name="l"),
        layer("GroupNormalization", 4, name="g"),
    ],
    "activations": [
        layer("Activation", "gelu"),
        layer("PReLU", name="p"),
        layer("Conv2D", 8, 3, activation="silu", name="c"),
    ],
    "noise": [layer("GaussianNoise", 0.1)],
    "pooled to a vector": [
        layer("Conv2D", 10, 3),
        layer("GlobalAveragePooling2D", name="pool"),
    ],
    "pooled, padded, resized": [
        layer("MaxPooling2D", name="m"),
        layer("ZeroPadding2D", name="z"),
        layer("UpSampling2D", name="u"),
        layer("Cropping2D", name="c"),
    ],
    "operations": [lambda: lambda x: keras.ops.relu(x) * 2.0 + x],
    # Channels in another order are the same position's.
    "shuffled channels": [
        layer("Reshape", (8, 8, 2, 4), name="r"),
        layer("Permute", (1, 2, 4, 3), name="p"),
        layer("Reshape", (8, 8, 8), name="s"),
        layer("Conv2D", 8, 1),
    ],
    # Attention over channels (ECA, 1910.03151): it slides.
    "along the channels": [
        layer("GlobalAveragePooling2D", name="pool"),
        layer("Reshape", (8, 1), name="r"),
        layer("Conv1D", 1, 3, padding="same"),
    ],
}


def chained(makers) -> keras.Model:
    return make(*[maker() for maker in makers], shape=(8, 8, 8))


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_refused_by_the_right_rule(name):
    makers, rules, detail = CHEATS[name]
    rules = [rules] if isinstance(rules, str) else list(rules)
    model = chained(makers)
    assert broken(model, size=8) == rules
    if detail:
        assert findings(model, size=8)[rules[0]].detail == detail


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_layer_passes(name):
    assert broken(chained(HONEST[name]), size=8) == []


def test_a_network_is_judged_at_its_final_size():
    """Where its 4x4 kernel slides, and not where it covers the map."""
    model = make(keras.layers.Conv2D(4, 4))
    assert broken(model, size=4) == [DENSE]
    assert broken(model, size=8) == []


def test_a_network_that_takes_no_image_of_its_size_is_not_passed():
    model = make(keras.layers.Conv2D(4, 5))
    assert broken(model, size=4) == [JUDGED]
    assert "the network at 4 px: " in findings(model, size=4)[JUDGED].detail


def test_a_subclassed_network_is_not_passed():
    class Own(keras.Model):
        def call(self, x):
            return x

    model = Own(name="own")
    model(np.zeros((1, 8, 8, 3)))
    assert broken(model) == [JUDGED]


def test_an_audit_leaves_the_network_as_it_is():
    inner = make(keras.layers.Conv2D(8, 3))
    model = make(inner, keras.layers.ReLU())
    before = [len(layer._inbound_nodes) for layer in model.layers]
    findings(model)
    after = [len(layer._inbound_nodes) for layer in model.layers]
    assert before == after
    assert model.output.shape == (None, None, None, 8)


@pytest.mark.parametrize("name", ["resnet", "cnn", "mlp"])
def test_the_dropout_flag_is_caught(name):
    model = build(name, width=8, depth=1, dropout=0.2)
    assert DROPOUT in broken(model)


# Receptive field


def conv(kernel=3, strides=1, dilation=1):
    return keras.layers.Conv2D(
        2, kernel, strides, padding="same", dilation_rate=dilation
    )


def pool(size=2):
    return keras.layers.AveragePooling2D(size, padding="same")


def residual() -> keras.Model:
    """Two 3x3 and a way around them, after a 3x3; then a pooled 3x3."""
    image = keras.Input((None, None, 2))
    x = conv()(image)
    x = keras.layers.Add()([x, conv()(conv()(x))])
    return keras.Model(image, conv()(pool()(x)))


def chain(*layers) -> keras.Model:
    return make(*layers, shape=(None, None, 2))


NETWORKS = {
    "one 1x1": lambda: (1, chain(conv(1))),
    "one 3x3": lambda: (3, chain(conv())),
    "three 3x3": lambda: (7, chain(conv(), conv(), conv())),
    "5x5, 3x3": lambda: (7, chain(conv(5), conv())),
    # 3, then a pooled pixel sees 4, its neighbors are 2 apart: 4 + 2 * 2.
    "pooled": lambda: (8, chain(conv(), pool(), conv())),
    "pooled twice": lambda: (
        2 + 4 + 2 + 8,
        chain(pool(), conv(), pool(), conv()),
    ),
    "strided": lambda: (3 + 4 + 8, chain(conv(3, 2), conv(3, 2), conv())),
    "depthwise": lambda: (
        5,
        chain(keras.layers.DepthwiseConv2D(3, padding="same"), conv()),
    ),
    "separable": lambda: (
        5,
        chain(keras.layers.SeparableConv2D(2, 5, padding="same")),
    ),
    "dilated": lambda: (1 + 4 + 8, chain(conv(3, 1, 2), conv(3, 1, 4))),
    "7x7 stem": lambda: (7 + 2 + 8, chain(conv(7, 2), pool(), conv())),
    # 3, around or through two more 3x3 to 7, pooled to 8, and 4 more.
    "residual": lambda: (12, residual()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_receptive_field_of_a_small_network(name):
    field, model = NETWORKS[name]()
    assert audit.receptive_field(audit.trace(model, 64)) == field


def test_without_a_kernel_the_receptive_field_is_a_pixel():
    calls = audit.trace(make(keras.layers.ReLU()), 8)
    assert audit.receptive_field(calls) == 1


def test_the_receptive_field_of_the_default_network():
    # Stem 3; blocks of two 3x3, at steps of 1, 2, 4 and 8 pixels; before the
    # last three a 2x2 pooling and a 3x3; a 3x3 head.
    for depth in (1, 2):
        field = 3 + 4 * depth
        for step in (2, 4, 8):
            field += step // 2 + 2 * step + depth * 4 * step
        field += 2 * 8
        model = build("resnet", 10, width=4, depth=depth)
        assert audit.receptive_field(audit.trace(model, 64)) == field
    rule = "receptive field against image size"
    share = field / 64
    detail = findings(model, size=64)[rule].detail
    assert detail == f"{field} px of 64 px ({share:.1f} x)"


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes a gradient tape"
)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_where_the_gradient_of_one_output_is_not_zero(name):
    import tensorflow as tf

    field, model = NETWORKS[name]()
    for weight in model.trainable_weights:
        weight.assign(np.ones(weight.shape))  # nothing cancels
    image = tf.ones((1, 64, 64, 2))
    with tf.GradientTape() as tape:
        tape.watch(image)
        outputs = model(image)
        middle = outputs.shape[1] // 2
        one = outputs[0, middle, middle, 0]
    gradient = tape.gradient(one, image).numpy()[0].sum(axis=-1)
    rows = np.flatnonzero(gradient.any(axis=1))
    columns = np.flatnonzero(gradient.any(axis=0))
    assert (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) == (field, field)


# What is done about it


def test_enforcing_names_the_rules_and_the_layers():
    model = make(
        keras.layers.Conv2D(16, 1, name="wide"),
        keras.layers.Dropout(0.1, name="lazy"),
    )
    with pytest.raises(UserError) as error:
        audit.enforce(audit.audit(model, 501, 32))
    message = str(error.value)
    assert f"{WIDENS} (wide (8 -> 16))" in message
    assert f"{DROPOUT} (lazy)" in message
    assert "at most 500 epochs (501.0 in the plan)" in message
    assert DENSE not in message
    audit.enforce(audit.audit(make(conv()), 500, 32))


def test_the_table_has_a_row_for_each_rule():
    model = make(keras.layers.Dense(3, name="head"))
    rows = audit.format_findings(audit.audit(model, 1, 32)).splitlines()
    words = {row[4:].strip().split("  ")[0]: row[:4] for row in rows}
    assert len(rows) == 9
    assert words.pop(DENSE) == "FAIL"
    assert words.pop("receptive field against image size") == "    "
    assert set(words.values()) == {"pass"}


def test_a_run_is_audited_from_its_config_and_data(monkeypatch, capsys):
    data = types.SimpleNamespace(
        class_names=tuple("abc"),
        groups=None,
        class_counts=np.array([10, 10, 20]),
        mean=MEAN,
        variance=VARIANCE,
        train=types.SimpleNamespace(labels=np.zeros(40), ids=("a.png",) * 40),
    )
    config = Config(
        model="lenet5",
        grow_size=(16, 28),
        stage_steps=(100,),
        batch_size=(8,),
        evals=1,
    )
    run = make_experiment(config, data)
    monkeypatch.setattr(modes, "open_experiment", lambda config: run)
    modes.audit(config)
    printed = capsys.readouterr().out
    assert f"FAIL  {DENSE} " in printed
    # Two stages of 100 batches of 8, over 40 images.
    assert "at most 500 epochs" in printed and "40.0 in the plan" in printed
    assert "of 28 px" in printed


def test_every_network_can_be_audited():
    for name in MODELS:
        rules = list(findings(build(name, 3, width=4, depth=1)))
        assert len(rules) == 9


@pytest.mark.parametrize(
    ("name", "passed"),
    [
        ("train/n01443537/images/n01443537_0.JPEG", True),
        ("a/contest/latest_1.png", True),
        ("crash-test/1.jpg", True),
        ("cifar10-train.array_record-00000-of-00001__7", True),
        ("test/images/test_17.JPEG", False),
        ("cifar10-test.array_record-00000-of-00001__7", False),
    ],
)
def test_an_image_of_a_test_split_is_named(name, passed):
    found = audit.audit(make(conv()), 1, 32, ["train/a.png", name])
    (rule,) = [f for f in found if f.rule == "no test images"]
    assert rule.passed == passed
    assert rule.detail == ("none" if passed else name)
