"""Augmentation layers of Keras and keras-cv.

Each was tried in a tf.data map, on batches of equal and of different images,
with Keras 3.15 and keras-cv 0.9. `REFUSED` names the failures.
"""

import contextlib
import functools
import importlib
import inspect
import zlib

import tensorflow as tf

from smartgrowth import UserError

# The arguments that a layer needs; size stands for the image side. All take
# value_range=(0, 255) and a seed where they know them.
SIZE = "size"
_JITTER = {
    "brightness_factor": 0.2,
    "contrast_factor": 0.3,
    "saturation_factor": (0.3, 0.7),
    "hue_factor": 0.06,
}
_SQUARE = {"target_size": (SIZE, SIZE)}
LAYERS = {
    "keras": {
        "AutoContrast": {},
        "ContrastLimitedAdaptiveHistogramEqualization": {},
        "CutMix": {},
        "Equalization": {},
        "MixUp": {},
        "RandomBrightness": {"factor": 0.2},
        "RandomColorDegeneration": {"factor": 0.5},
        "RandomColorJitter": _JITTER,
        "RandomContrast": {"factor": 0.3},
        "RandomElasticTransform": {},
        "RandomErasing": {},
        "RandomFlip": {"mode": "horizontal"},
        "RandomGaussianBlur": {},
        "RandomGrayscale": {"factor": 0.1},
        "RandomHue": {"factor": 0.06},
        "RandomInvert": {"factor": 0.1},
        "RandomPerspective": {"scale": 0.2},
        "RandomPosterization": {"factor": (4, 8)},
        "RandomRotation": {"factor": 1 / 18},
        "RandomSaturation": {"factor": (0.3, 0.7)},
        "RandomSharpness": {"factor": 0.5},
        "RandomShear": {"x_factor": 0.2, "y_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.125, "width_factor": 0.125},
        "RandomZoom": {"height_factor": 0.2},
        "Solarization": {"threshold_factor": 1.0},
    },
    "keras_cv": {
        "AugMix": {},
        "AutoContrast": {},
        "ChannelShuffle": {},
        "Equalization": {},
        "FourierMix": {},
        "Grayscale": {"output_channels": 3},
        "GridMask": {},
        "JitteredResize": _SQUARE | {"scale_factor": (0.8, 1.25)},
        "MixUp": {},
        "Mosaic": {},
        "Posterization": {"bits": 4},
        "RandAugment": {},
        "RandomBrightness": {"factor": 0.2},
        "RandomChannelShift": {"factor": 0.2},
        "RandomColorDegeneration": {"factor": 0.5},
        "RandomColorJitter": _JITTER,
        "RandomContrast": {"factor": 0.3},
        "RandomCropAndResize": _SQUARE
        | {
            "crop_area_factor": (0.5, 1.0),
            "aspect_ratio_factor": (0.75, 4 / 3),
        },
        "RandomCutout": {"height_factor": 0.4, "width_factor": 0.4},
        "RandomFlip": {"mode": "horizontal"},
        "RandomGaussianBlur": {"kernel_size": 3, "factor": 1.0},
        "RandomHue": {"factor": 0.06},
        "RandomRotation": {"factor": 1 / 18},
        "RandomSaturation": {"factor": (0.3, 0.7)},
        "RandomSharpness": {"factor": 0.5},
        "RandomShear": {"x_factor": 0.2, "y_factor": 0.2},
        "RandomTranslation": {"height_factor": 0.125, "width_factor": 0.125},
        "RandomZoom": {"height_factor": 0.2, "width_factor": 0.2},
        "Solarization": {"threshold_factor": (128, 255)},
    },
}
_OTHERS = "it chooses between other layers; name those"
_NOTHING = "an image of the stage's size comes out as it went in"
REFUSED = {
    "keras": {
        "AugMix": "what it chooses when the map is traced it does to every "
        "image ever after",
        "CenterCrop": _NOTHING,
        "MaxNumBoundingBoxes": "there are no boxes here",
        "RandAugment": "it chooses once for a whole batch; see randaugment",
        "RandomCrop": "it cuts one place for a whole batch; see crop",
        "Resizing": _NOTHING,
    },
    "keras_cv": {
        "CutMix": "its labels pay for patches that lie beyond the image's "
        "edge: weight 0.12 for an image that kept 0.55 of its pixels; see "
        "--cutmix and keras:CutMix",
        "RandomApply": _OTHERS,
        "RandomAspectRatio": "its images are of different shapes",
        "RandomAugmentationPipeline": _OTHERS,
        "RandomChoice": _OTHERS,
        "RandomCrop": _NOTHING,
        "RandomJpegQuality": "of levels 0..255 it makes an image of ones",
        "RepeatedAugmentation": "it makes more images than there were",
        "Rescaling": "the network has a normalization of its own",
        "Resizing": _NOTHING,
    },
}
# Layers that also need the labels.
MIXING = {"CutMix", "FourierMix", "MixUp", "Mosaic"}


def check(library: str, name: str) -> None:
    """Raises `UserError` unless the layer exists and can be used."""
    entry = f"{library}:{name}"
    if name in REFUSED[library]:
        raise UserError(
            f"--augment: {entry} is refused: {REFUSED[library][name]}"
        )
    if name not in LAYERS[library]:
        raise UserError(
            f"--augment: {entry} is unknown; known of {library} are "
            f"{', '.join(LAYERS[library])}"
        )
    try:
        make_layer(library, name, 32)
    except ImportError as error:
        raise UserError(
            f"--augment: {entry} needs the package {library.replace('_', '-')}"
            f" ({error})"
        ) from None
    except AttributeError:
        raise UserError(
            f"--augment: this version of {library} has no layer {name}"
        ) from None


@functools.cache
def make_layer(library: str, name: str, size: int, seed: int = 0):
    """Returns the Keras layer, made once for every image size."""
    make = getattr(importlib.import_module(library).layers, name)
    known = inspect.signature(make).parameters
    arguments = {
        argument: (size, size) if value == (SIZE, SIZE) else value
        for argument, value in LAYERS[library][name].items()
    }
    if "value_range" in known:
        arguments["value_range"] = (0, 255)
    if "seed" in known:
        # keras-cv is deterministic no other way; every layer draws its own.
        arguments["seed"] = 1 + zlib.crc32(f"{name} {seed}".encode()) % 2**30
    # Outside the map that is being traced, and never in half precision, which
    # rounds labels and pixel values.
    with tf.init_scope(), _float32_policy():
        layer = make(**arguments, dtype="float32")
        if hasattr(layer, "generator"):
            layer.generator = _make_seeds()
        if hasattr(layer, "auto_vectorize"):
            layer.auto_vectorize = False  # it warns of ops it cannot vectorize
    return layer


def draws_from_the_seed(library: str, name: str) -> bool:
    """Returns whether the layer's draws depend on the batch's seed alone.

    keras-cv draws from stateful ops, whose state cannot be restored.
    """
    import keras

    if library == "keras":
        return keras.backend.backend() == "tensorflow"
    return name in {
        "AutoContrast",
        "Equalization",
        "Grayscale",
        "Posterization",
    }


def apply(
    images,
    targets,
    library: str,
    name: str,
    strength: float,
    seed,
    run: int = 0,
):
    """Applies a layer to images and targets, and returns both.

    Args:
      images: float32 (batch, size, size, 3), 0..255.
      targets: float32 (batch, classes).
      library, name: of the layer.
      strength: share of the images that it is applied to; the layer's own
        ranges are fixed.
      seed: int (2,), the batch's.
      run: the run's seed, for layers that cannot draw from a batch's.
    """
    layer = make_layer(library, name, images.shape[1], run)
    seeds = tf.random.split(seed, 2)
    if hasattr(layer, "generator"):
        layer.generator.begin(seeds[0])
    shape, active = images.shape, targets >= 0
    if name in MIXING:
        out = layer({"images": images, "labels": targets})
        made, labels = out["images"], out["labels"]
    else:
        made, labels = layer(images), targets
    made = tf.clip_by_value(tf.ensure_shape(made, shape), 0.0, 255.0)
    labels = tf.where(active, tf.maximum(labels, 0.0), -1.0)
    if strength < 1.0:
        on = tf.random.stateless_uniform((shape[0],), seeds[1]) < strength
        made = tf.where(on[:, None, None, None], made, images)
        labels = tf.where(on[:, None], labels, targets)
    return made, labels


def _make_seeds():
    """Returns a seed generator that derives its seeds from the batch's.

    Keras' own counts in a variable, which a resumed run would start again.
    """
    import keras

    class BatchSeeds(keras.random.SeedGenerator):
        def begin(self, seed) -> None:
            self.seed, self.drawn = seed, 0

        def next(self, ordered: bool = True):
            self.drawn += 1
            return tf.random.fold_in(self.seed, self.drawn)

    return BatchSeeds(0)


@contextlib.contextmanager
def _float32_policy():
    """Makes float32 the global policy, which keras-cv's inner layers take."""
    import keras

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
