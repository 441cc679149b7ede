"""What each place of an image adds to a logit is known exactly."""

import keras
import numpy as np
import pytest

from smartgrowth.evaluation.activation_maps import map_model
from smartgrowth.models.network import Network

pytestmark = pytest.mark.core
CLASSES = 4
IMAGES = np.random.default_rng(2).integers(0, 256, (3, 24, 24, 3), np.uint8)


def network(name, **settings):
    made = Network(name, CLASSES, width=8, depth=1, **settings)
    return made.build([128.0] * 3, [4000.0] * 3)


def layered(*layers):
    """A user's network, of layers or whole models one after another."""
    image = keras.Input((None, None, 3))
    x = image
    for layer in layers:
        x = layer(x)
    return keras.Model(image, x)


def inner():
    """A network within a network, with a branch."""
    image = keras.Input((None, None, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, activation="relu")(image)
    y = keras.layers.Conv2D(6, 3, padding="same")(x)
    return keras.Model(image, keras.layers.add([x, y]))


def averaged():
    return keras.layers.GlobalAveragePooling2D()


def with_noise(model):
    """New networks have biases of 0, which no test would miss."""
    keras.utils.set_random_seed(3)
    for variable in model.trainable_variables:
        noise = np.random.default_rng(4).normal(0, 0.1, variable.shape)
        variable.assign_add(noise.astype("float32"))
    return model


MAPPED = {
    "resnet": lambda: network("resnet"),
    "with dropout": lambda: network("resnet", dropout=0.3),
    "bfloat16": lambda: Network("resnet", CLASSES, 8, 1).build(
        [128.0] * 3, [4000.0] * 3, "mixed_bfloat16"
    ),
    "a dense head": lambda: layered(
        inner(), averaged(), keras.layers.Dense(CLASSES)
    ),
    "a dense head without bias": lambda: layered(
        inner(),
        averaged(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(CLASSES, use_bias=False),
        keras.layers.Activation("linear"),
    ),
    "two models before the head": lambda: layered(
        keras.layers.Rescaling(1 / 255),
        keras.Sequential([keras.layers.Conv2D(3, 3), keras.layers.ReLU()]),
        inner(),
        keras.layers.Conv2D(CLASSES, 1),
        averaged(),
    ),
    "a sequence": lambda: keras.Sequential(
        [
            keras.Input((24, 24, 3)),
            keras.layers.Conv2D(5, 3),
            averaged(),
            keras.layers.Dense(CLASSES),
        ]
    ),
}


@pytest.mark.parametrize("name", MAPPED)
def test_the_mean_of_every_map_is_the_logit(name):
    model = with_noise(MAPPED[name]())
    # XLA averages a map before it rounds it.
    close = 1e-2 if name == "bfloat16" else 1e-4
    mapped = map_model(model)
    logits, features = mapped.model.predict_on_batch(IMAGES)
    np.testing.assert_allclose(
        logits, model.predict_on_batch(IMAGES), rtol=1e-5, atol=1e-5
    )
    assert np.ptp(logits) > 0.01
    for label in range(CLASSES):
        maps = mapped.maps(features, np.full(3, label))
        assert maps.dtype == np.float32
        assert maps.shape == features.shape[:3]
        np.testing.assert_allclose(
            maps.mean(axis=(1, 2)), logits[:, label], rtol=close, atol=close
        )


@pytest.mark.parametrize("head", ["resnet", "a dense head"])
def test_each_image_gets_the_map_of_its_own_class(head):
    mapped = map_model(with_noise(MAPPED[head]()))
    _, features = mapped.model.predict_on_batch(IMAGES)
    maps = mapped.maps(features, np.array([2, 0, 1]))
    for image, label in enumerate((2, 0, 1)):
        alone = mapped.maps(features, np.full(3, label))[image]
        np.testing.assert_allclose(maps[image], alone, rtol=1e-6)


OTHERS = {
    "mlp": lambda: network("mlp"),
    "lenet5": lambda: network("lenet5"),
    "two dense layers": lambda: layered(
        inner(), averaged(), keras.layers.Dense(5), keras.layers.Dense(CLASSES)
    ),
    "a function of the averages": lambda: layered(
        inner(), averaged(), keras.layers.ReLU(), keras.layers.Dense(CLASSES)
    ),
    "probabilities": lambda: layered(
        inner(), averaged(), keras.layers.Dense(CLASSES, activation="softmax")
    ),
    "a batch norm behind the averages": lambda: layered(
        inner(), averaged(), keras.layers.BatchNormalization()
    ),
    "the largest of each channel": lambda: layered(
        inner(), keras.layers.GlobalMaxPooling2D()
    ),
    "a head within a model": lambda: layered(
        layered(inner(), averaged(), keras.layers.Dense(CLASSES))
    ),
    "two outputs": lambda: keras.Model(
        *(lambda x: (x, [averaged()(x), averaged()(x)]))(keras.Input((8, 8, 3)))
    ),
    "no graph": lambda: Written(),
}


class Written(keras.Model):
    """A network that is a function, of which nothing is known."""

    def call(self, images):
        return keras.ops.mean(images, axis=(1, 2))


@pytest.mark.parametrize("make", OTHERS.values(), ids=OTHERS)
def test_other_networks_have_no_maps(make):
    assert map_model(make()) is None


def test_the_network_stays_as_it_is():
    model = MAPPED["a dense head"]()
    before = model.get_config()
    mapped = map_model(model)
    assert model.get_config() == before
    assert map_model(model) is not None  # and again
    ours = {id(variable) for variable in mapped.model.variables}
    assert ours == {id(variable) for variable in model.variables}
