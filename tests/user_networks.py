"""Networks as users write them, for --model=PATH.py:FUNCTION."""

import keras
from keras import layers


def mobile(num_classes, width=8, depth=1):
    """Inverted bottlenecks with squeeze-and-excitation, as MobileNetV3 has."""
    images = keras.Input((None, None, 3))
    x = layers.Rescaling(1 / 127.5, -1)(images)
    x = _conv(x, width, 3)
    for channels, strides in ((width, 1), (2 * width, 2), (2 * width, 1)):
        for _ in range(depth):
            x = _bottleneck(x, channels, strides)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.1)(x)
    return keras.Model(images, layers.Dense(num_classes)(x))


def _bottleneck(x, channels, strides):
    y = _conv(x, 3 * x.shape[-1], 1)
    y = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(y)
    y = layers.BatchNormalization(momentum=0.9)(y)
    y = layers.Activation("hard_silu")(y)
    s = layers.GlobalAveragePooling2D(keepdims=True)(y)
    s = layers.Conv2D(y.shape[-1] // 4, 1, activation="relu")(s)
    s = layers.Conv2D(y.shape[-1], 1, activation="hard_sigmoid")(s)
    y = layers.Multiply()([y, s])
    y = layers.Conv2D(channels, 1, use_bias=False)(y)
    y = layers.BatchNormalization(momentum=0.9)(y)
    same = strides == 1 and channels == x.shape[-1]
    return layers.Add()([x, y]) if same else y


def _conv(x, channels, kernel):
    x = layers.Conv2D(channels, kernel, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization(momentum=0.9)(x)
    return layers.Activation("hard_silu")(x)


def application(num_classes):
    """The README's."""
    images = keras.Input((None, None, 3))
    make = keras.applications.MobileNetV3Small  # which scales the images
    x = make(include_top=False, weights=None)(images)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(images, layers.Dense(num_classes)(x))


@keras.saving.register_keras_serializable("tests")
class Brightness(layers.Layer):
    """A layer of the user's own."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


@keras.saving.register_keras_serializable("tests")
class Subclass(keras.Model):
    """A model with a `call` of its own, whose layers no graph shows."""

    def __init__(self, num_classes, **options):
        super().__init__(**options)
        self.num_classes = num_classes
        self.scale = Brightness(1 / 255)
        self.conv = layers.Conv2D(8, 3, strides=2, padding="same")
        self.head = layers.Dense(num_classes)

    def call(self, images):
        features = keras.ops.relu(self.conv(self.scale(images)))
        return self.head(keras.ops.mean(features, axis=(1, 2)))

    def get_config(self):
        return super().get_config() | {"num_classes": self.num_classes}


def subclass(num_classes):
    return Subclass(num_classes)


def frozen(num_classes):
    """With a first convolution that the user has frozen."""
    model = mobile(num_classes)
    first = next(x for x in model.layers if isinstance(x, layers.Conv2D))
    first.trainable = False
    return model


def _ending(make):
    def network(num_classes):
        images = keras.Input((None, None, 3))
        return keras.Model(images, make(images, num_classes))

    return network


def _features(images):
    x = layers.Conv2D(4, 3, padding="same")(images)
    return layers.GlobalAveragePooling2D()(x)


def _patches(images, classes):
    x = layers.MaxPooling2D(3, 3)(layers.Conv2D(4, 3)(images))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


def _patches_of_padded(images, classes):
    x = layers.Conv2D(4, 7, 2)(layers.ZeroPadding2D(3)(images))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


def _patches_of_padded_by_an_operation(images, classes):
    edge = ((0, 0), (3, 3), (3, 3), (0, 0))
    x = layers.Conv2D(4, 7, 2)(keras.ops.pad(images, edge))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


softmax_layer = _ending(
    lambda x, n: layers.Softmax()(layers.Dense(n)(_features(x)))
)
softmax = _ending(lambda x, n: layers.Dense(n, "softmax")(_features(x)))
softmax_op = _ending(
    lambda x, n: keras.ops.softmax(layers.Dense(n)(_features(x)))
)
sigmoid = _ending(lambda x, n: layers.Dense(n, "sigmoid")(_features(x)))
few = _ending(lambda x, n: layers.Dense(n - 1)(_features(x)))
code = _ending(
    lambda x, n: layers.Dense(n)(_features(layers.Lambda(lambda y: y / 2)(x)))
)
untrained = _ending(lambda x, n: layers.GlobalAveragePooling2D()(x))
patches = _ending(_patches)
padded = _ending(_patches_of_padded)
padded_by_an_operation = _ending(_patches_of_padded_by_an_operation)


def _relus(images, classes):
    x = keras.ops.relu(layers.Conv2D(4, 3, activation="relu")(images))
    return layers.Dense(classes)(layers.GlobalAveragePooling2D()(x))


named = _ending(_relus)


class Unnamed(layers.Layer):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return x * self.factor


unnamed = _ending(
    lambda x, n: layers.Dense(n)(_features(Unnamed(keras.ops.ones(()))(x)))
)


def fixed(num_classes):
    images = keras.Input((32, 32, 3))
    return keras.Model(images, layers.Dense(num_classes)(_features(images)))


def nothing(num_classes):
    return None


def broken(num_classes):
    raise RuntimeError("no\nluck")


constant = 3
