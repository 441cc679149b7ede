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
    assert len(judged) == 7
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
    assert broken(model) == [WIDENS, DENSE]
    found = findings(model)
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
    return lambda: getattr(keras.layers, kind)(*arguments, **options, name="a")


@pytest.mark.parametrize(
    ("layer", "detail"),
    [
        (layer("Conv2D", 9, 1), "a (8 -> 9)"),
        (layer("Conv2D", 16, 1, 2), "a (8 -> 16)"),
        (layer("Conv2D", 16, 1, groups=8), "a (8 -> 16)"),
        (layer("SeparableConv2D", 9, 3), "a (8 -> 9)"),
        (layer("SeparableConv2D", 8, 3, depth_multiplier=2), "a (8 -> 16)"),
        (layer("DepthwiseConv2D", 1, depth_multiplier=3), "a (8 -> 24)"),
    ],
)
def test_a_1x1_that_widens_is_caught_in_every_guise(layer, detail):
    model = make(layer())
    assert broken(model) == [WIDENS]
    assert findings(model)[WIDENS].detail == detail


@pytest.mark.parametrize(
    "layer",
    [
        layer("Conv2D", 8, 1),
        layer("Conv2D", 4, 1),
        layer("Conv2D", 8, 1, groups=4),
        layer("Conv2D", 64, 3),
        layer("Conv2D", 64, (1, 3)),
        layer("SeparableConv2D", 8, 3),
        layer("SeparableConv2D", 4, 3),
        layer("DepthwiseConv2D", 1),
        layer("DepthwiseConv2D", 3),
        layer("DepthwiseConv2D", 3, depth_multiplier=2),
    ],
)
def test_what_does_not_widen_by_1x1_passes(layer):
    assert broken(make(layer())) == []


@pytest.mark.parametrize(
    "layer",
    [
        keras.layers.Dropout,
        keras.layers.SpatialDropout2D,
        keras.layers.GaussianDropout,
        keras.layers.AlphaDropout,
    ],
)
def test_dropout_is_caught_in_every_guise(layer):
    model = make(layer(0.1, name="a"))
    assert broken(model) == [DROPOUT]
    assert findings(model)[DROPOUT].detail == "a"


@pytest.mark.parametrize("name", ["resnet", "cnn", "mlp"])
def test_the_dropout_flag_is_caught(name):
    model = build(name, width=8, depth=1, dropout=0.2)
    assert DROPOUT in broken(model)


def test_a_layer_inside_a_model_inside_is_found():
    inner = make(keras.layers.Conv2D(9, 1, name="hidden"))
    outer = make(keras.layers.Conv2D(8, 3), make(inner))
    assert findings(outer)[WIDENS].detail == "hidden (8 -> 9)"


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
    assert audit.receptive_field(model) == field


def test_without_a_kernel_the_receptive_field_is_a_pixel():
    assert audit.receptive_field(make(keras.layers.ReLU())) == 1


def test_the_receptive_field_of_the_default_network():
    # Stem 3; blocks of two 3x3, at steps of 1, 2, 4 and 8 pixels; before the
    # last three a 2x2 pooling and a 3x3; a 3x3 head.
    for depth in (1, 2):
        field = 3 + 4 * depth
        for step in (2, 4, 8):
            field += step // 2 + 2 * step + depth * 4 * step
        field += 2 * 8
        model = build("resnet", 10, width=4, depth=depth)
        assert audit.receptive_field(model) == field
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
    assert len(rows) == 8
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
    )
    run = make_experiment(config, data)
    monkeypatch.setattr(modes, "_open", lambda config: run)
    modes.audit(config)
    printed = capsys.readouterr().out
    assert f"FAIL  {DENSE} " in printed
    # Two stages of 100 batches of 8, over 40 images.
    assert "at most 500 epochs" in printed and "40.0 in the plan" in printed
    assert "of 28 px" in printed


def test_every_network_can_be_audited():
    for name in MODELS:
        rules = list(findings(build(name, 3, width=4, depth=1)))
        assert len(rules) == 8


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


def test_a_convolution_after_the_global_pooling_is_a_dense_layer():
    image = keras.Input((None, None, 3))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(image)
    x = keras.layers.Conv2D(2, 1, name="head")(x)
    model = keras.Model(image, x)
    found = {f.rule: f for f in audit.audit(model, 1, 32)}
    assert found["no dense layer"].passed is False
    assert "head" in found["no dense layer"].detail
