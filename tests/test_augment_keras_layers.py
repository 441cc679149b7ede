"""Stock layers of Keras and keras-cv in the chain, and why some are not."""

import inspect
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from augmented import augmented_batches

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data.augment import keras_layers
from smartgrowth.data.augment.policy import Augmentation, augment, choose

ROOT = pathlib.Path(__file__).parents[1]
SIZE, BATCH = 32, 8
FEW = [
    ("keras", "RandomErasing"),
    ("keras", "CutMix"),
    ("keras_cv", "GridMask"),
]
ALL = [
    pytest.param(library, name, marks=() if (library, name) in FEW else SLOW)
    for SLOW in [pytest.mark.slow]
    for library, layers in keras_layers.LAYERS.items()
    for name in layers
]
LABELS = np.array([257, 101, 102, 103, 104, 105, 106, 107])


@pytest.fixture
def images():
    """One picture in eight places: layers that draw once a batch show."""
    random = np.random.default_rng(0)
    ramp = np.linspace(0, 200, SIZE)[:, None, None]
    picture = ramp + random.integers(0, 56, (SIZE, SIZE, 3))
    return np.stack([picture.astype(np.uint8)] * BATCH)


@pytest.fixture
def targets():
    """Of 300 classes, the first hundred of which are not active."""
    targets = np.eye(300, dtype=np.float32)[LABELS]
    targets[:, :100] = -1
    return targets


@pytest.fixture
def half_precision():
    """In which neither label 257 nor level 255 less a half survives."""
    keras_layers.make_layer.cache_clear()  # made under the policy of this test
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def batches(images, targets, layer, *rest, **strength):
    return augmented_batches(
        images, targets, Augmentation(stock=(layer,)), *rest, **strength
    )


@pytest.mark.filterwarnings("ignore")  # theirs to mend
@pytest.mark.parametrize(("library", "name"), ALL)
def test_a_layer_works_in_a_map_and_leaves_labels_a_distribution(
    images, targets, half_precision, library, name
):
    other = np.stack([np.roll(images[0], 3 * n, 1) for n in range(BATCH)])
    shown = batches(other, targets, (library, name), 0, 8)
    for made, labels in shown:
        assert (made.shape, made.dtype) == (images.shape, np.uint8)
        assert (labels.shape, labels.dtype) == (targets.shape, np.float32)
        assert (labels[:, :100] == -1).all()
        np.testing.assert_allclose(labels[:, 100:].sum(axis=1), 1, rtol=1e-5)
        if name not in keras_layers.MIXING:
            np.testing.assert_array_equal(labels, targets)
    assert any(not np.array_equal(made, other) for made, _ in shown)
    again = batches(other, targets, (library, name), 2, 3)[0]
    same = np.array_equal(shown[2][0], again[0]) and np.array_equal(
        shown[2][1], again[1]
    )
    if keras_layers.draws_from_the_seed(library, name):
        assert same


FIXED = {
    "AutoContrast",
    "ContrastLimitedAdaptiveHistogramEqualization",
    "Equalization",
    "Grayscale",
    "Posterization",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("library", "name"), ALL)
def test_a_layer_that_draws_draws_for_each_image(
    images, targets, library, name
):
    if name in FIXED:
        return
    if name in keras_layers.MIXING:
        # Of one picture nothing but the labels changes.
        made = np.concatenate(
            [
                labels
                for _, labels in batches(images, targets, (library, name), 0, 3)
            ]
        )
        assert len({label.tobytes() for label in np.sort(made)}) > 6
        return
    shown = batches(images, targets, (library, name), 0, 8)
    kinds = [len({image.tobytes() for image in made}) for made, _ in shown]
    assert max(kinds) > 1
    assert len({made.tobytes() for made, _ in shown}) > 1


@pytest.mark.parametrize("layer", FEW)
def test_the_strength_is_the_share_of_the_images(images, targets, layer):
    many = np.tile(images, (25, 1, 1, 1))
    labels = np.tile(targets, (25, 1))
    if layer[1] in keras_layers.MIXING:
        [(_, mixed)] = batches(many, labels, layer, 0, 1, strength=0.25)
        changed = (mixed != labels).any(axis=1)
    else:
        [(made, same)] = batches(many, labels, layer, 0, 1, strength=0.25)
        np.testing.assert_array_equal(same, labels)
        changed = (made != many).any(axis=(1, 2, 3))
    assert 0.05 < changed.mean() < 0.37  # of 200; some change nothing
    [(made, same)] = batches(images, targets, layer, 0, 1, strength=0.0)
    np.testing.assert_array_equal(made, images)
    np.testing.assert_array_equal(same, targets)


def test_layers_follow_one_another(images, targets):
    both = Augmentation(
        stock=(("keras", "Solarization"), ("keras_cv", "Grayscale"))
    )
    made, _ = augment(images, targets, both, 1.0, tf.constant([1, 2]))
    made = made.numpy()
    assert (made[..., 0] == made[..., 1]).all()
    plain, _ = augment(
        images, targets, Augmentation(stock=both.stock[1:]), 1.0, [1, 2]
    )
    assert not np.array_equal(made, plain)


@pytest.mark.parametrize(
    ("library", "name"),
    [
        (library, name)
        for library in keras_layers.REFUSED
        for name in keras_layers.REFUSED[library]
    ],
)
def test_a_broken_layer_is_refused_with_what_is_wrong(library, name):
    reason = keras_layers.REFUSED[library][name]
    with pytest.raises(UserError) as caught:
        choose(Config(augment=(f"{library}:{name}",)))
    assert f"--augment: {library}:{name} is refused: {reason}" == str(
        caught.value
    )


def test_an_unknown_layer_lists_those_of_its_library():
    with pytest.raises(UserError, match="keras:GridMask is unknown") as caught:
        choose(Config(augment=("keras:GridMask",)))
    for name in keras_layers.LAYERS["keras"]:
        assert name in str(caught.value)
    with pytest.raises(UserError, match="keras:Dense is unknown"):
        choose(Config(augment=("keras:Dense",)))


def test_every_augmentation_layer_of_both_is_taken_or_refused():
    import keras_cv

    for library, package, kin in (
        ("keras", keras, keras.layers.RandomFlip),
        ("keras_cv", keras_cv, keras_cv.layers.RandomFlip),
        ("keras_cv", keras_cv, keras_cv.layers.GridMask),
    ):
        parent = kin.__mro__[1]
        there = {
            name
            for name, layer in vars(package.layers).items()
            if inspect.isclass(layer)
            and issubclass(layer, parent)
            and layer is not parent
            and not name.startswith(("Base", "Vectorized"))
        }
        assert len(there) > 10
        assert there <= {
            *keras_layers.LAYERS[library],
            *keras_layers.REFUSED[library],
        }


def test_a_missing_library_is_named(monkeypatch):
    def fail(name):
        raise ImportError(f"No module named {name!r}")

    keras_layers.make_layer.cache_clear()
    monkeypatch.setattr(keras_layers.importlib, "import_module", fail)
    with pytest.raises(UserError, match="needs the package keras-cv"):
        choose(Config(augment=("keras_cv:GridMask",)))


def test_a_layer_that_came_later_is_named(monkeypatch):
    keras_layers.make_layer.cache_clear()
    monkeypatch.delattr(keras.layers, "RandomErasing")
    with pytest.raises(UserError, match="keras has no layer RandomErasing"):
        choose(Config(augment=("keras:RandomErasing",)))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ((), True),
        ((("keras", "RandomErasing"), ("keras", "MixUp")), True),
        ((("keras_cv", "Posterization"),), True),
        ((("keras", "MixUp"), ("keras_cv", "GridMask")), False),
    ],
)
def test_what_a_resume_cannot_repeat_is_known(layers, expected):
    assert Augmentation(stock=layers).is_reproducible is expected


def test_layers_of_keras_cv_work_in_a_run_that_repeats_its_bits():
    """TensorFlow then refuses to make the generator that they ask for."""
    code = (
        "from smartgrowth.runtime import devices\n"
        "devices.seed_everything(0, deterministic=True)\n"
        "from smartgrowth.data.augment import keras_layers\n"
        "keras_layers.make_layer('keras_cv', 'RandomGaussianBlur', 16, None)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
