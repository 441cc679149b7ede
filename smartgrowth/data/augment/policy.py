"""Augmentation in place: sample the parameters of a batch, then apply them.

Every number of our own variants is drawn from stateless generators, so that a
batch is a pure function of its seed. The number of images never grows.
"""

import dataclasses

import tensorflow as tf

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.data.augment import (
    color,
    geometry,
    keras_layers,
    mixing,
    occlusion,
    pixels,
)
from smartgrowth.data.augment.variant import named_seed

VARIANTS = (
    geometry.VARIANTS | color.VARIANTS | pixels.VARIANTS | occlusion.VARIANTS
)
PRESETS = {
    "none": (),
    "basic": ("flip", "shift"),
    # For small networks at 32 to 64 px. All that composes but zoom and aspect,
    # which crop implies; blur, sharpness and noise cost as much again.
    "strong": (
        "flip",
        "shift",
        "rotation",
        "shear",
        "crop",
        "perspective",
        "brightness",
        "contrast",
        "saturation",
        "hue",
        "grayscale",
        "temperature",
        "channel_shuffle",
        "posterize",
        "solarize",
        "cutout",
        "grid_mask",
    ),
}
NOT_REPRODUCIBLE = (
    "--augment: layers of keras-cv, and with JAX those of Keras, draw from a "
    "state that no checkpoint holds; if this run is resumed, its images will "
    "be augmented by other draws"
)
# What randaugment does not choose from: mirror images may vote in tests.
NOT_CHOSEN = {"flip"}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What `--augment`, `--mixup` and `--cutmix` do to a batch.

    variants: names of `VARIANTS`, applied to every image.
    chosen, magnitude: of the other variants that many, chosen for each image,
      at that strength; none if 0.
    stock: (library, layer) pairs, in their order.
    mixup, cutmix: shares of the images.
    seed: of layers that cannot draw from a batch's.
    """

    variants: tuple[str, ...] = ()
    chosen: int = 0
    magnitude: float = 0.0
    stock: tuple[tuple[str, str], ...] = ()
    mixup: float = 0.0
    cutmix: float = 0.0
    seed: int = 0

    @property
    def pool(self) -> tuple[str, ...]:
        """The variants that randaugment chooses from."""
        if not self.chosen:
            return ()
        taken = NOT_CHOSEN.union(self.variants)
        return tuple(name for name in VARIANTS if name not in taken)

    @property
    def mirrors(self) -> bool:
        """Whether images are shown mirrored left to right."""
        flips = {(library, "RandomFlip") for library in keras_layers.LAYERS}
        return "flip" in self.variants or bool(flips.intersection(self.stock))

    @property
    def is_reproducible(self) -> bool:
        """Whether a batch is a function of its seed alone.

        If not, a run that is resumed does not see the very batches that it
        would have seen.
        """
        return all(
            keras_layers.draws_from_the_seed(*layer) for layer in self.stock
        )


def choose(config: Config) -> Augmentation:
    """Returns what the flags ask for.

    Entries of `--augment` are presets, variants, randaugment:N:MAGNITUDE, and
    keras:NAME or keras_cv:NAME; a NAME after one of those is of the same
    library.

    Raises:
      UserError: an unknown entry, or a layer that is refused.
    """
    variants, layers, chosen, library = [], [], (0, 0.0), None
    for entry in config.augment:
        kind, colon, rest = entry.partition(":")
        if entry in PRESETS:
            variants += PRESETS[entry]
        elif entry in VARIANTS:
            variants.append(entry)
        elif kind == "randaugment":
            chosen = _parse_randaugment(entry, rest)
        elif colon and kind in keras_layers.LAYERS:
            library = kind
            layers.append((kind, rest))
        elif library and entry[:1].isupper():
            layers.append((library, entry))
        else:
            raise UserError(
                f"--augment: {entry!r} is unknown; known are the presets "
                f"{', '.join(PRESETS)}, the variants {', '.join(VARIANTS)}, "
                "randaugment:N:MAGNITUDE, keras:NAME and keras_cv:NAME"
            )
    for layer in layers:
        keras_layers.check(*layer)
    augmentation = Augmentation(
        tuple(dict.fromkeys(variants)),
        *chosen,
        tuple(layers),
        config.mixup,
        config.cutmix,
        config.seed,
    )
    if augmentation.chosen > len(augmentation.pool):
        raise UserError(
            f"--augment: randaugment has {len(augmentation.pool)} variants to "
            f"choose {augmentation.chosen} from"
        )
    return augmentation


def _parse_randaugment(entry: str, rest: str) -> tuple[int, float]:
    count, _, magnitude = rest.partition(":")
    try:
        chosen, strength = int(count or 2), float(magnitude or 0.5)
    except ValueError:
        chosen = 0
    if chosen < 1 or not 0 <= strength <= 1:
        raise UserError(
            f"--augment: {entry!r} must be randaugment:N:MAGNITUDE, a number "
            "of variants and a strength of 0 to 1"
        )
    return chosen, strength


def augment(images, targets, augmentation: Augmentation, strength: float, seed):
    """A batch as the network is to see it.

    Args:
      images: uint8 (batch, size, size, 3).
      targets: float32 (batch, classes), a distribution over the active
        classes, -1 for the others.
      strength: 0 (nothing happens) to 1; the stage's.
      seed: int (2,) tensor.

    Returns:
      The same shapes and dtypes, as many images as there were.
    """
    if not strength:
        return images, targets
    batch, size = images.shape[:2]
    parameters = sample_parameters(augmentation, strength, size, batch, seed)
    images = apply(images, parameters, named_seed(seed, "noise of pixels"))
    if augmentation.stock:
        images = tf.cast(images, tf.float32)
        for index, (library, name) in enumerate(augmentation.stock):
            # A layer that is given twice draws twice.
            number = augmentation.stock[:index].count((library, name))
            images, targets = keras_layers.apply(
                images,
                targets,
                library,
                name,
                strength,
                named_seed(seed, f"{library}:{name}:{number}"),
                augmentation.seed,
            )
        images = tf.cast(tf.round(images), tf.uint8)
    mixup, cutmix = (
        share * strength for share in (augmentation.mixup, augmentation.cutmix)
    )
    if mixup or cutmix:
        drawn = mixing.sample_mixing(mixup, cutmix, batch, seed)
        images, targets = mixing.mix(images, targets, drawn)
    return images, targets


def sample_parameters(
    augmentation: Augmentation, strength: float, size: int, batch: int, seed
) -> dict:
    """Draws what happens to each image of a batch.

    Returns:
      Variant name -> float32 (batch, n); what the numbers are stands beside
      the variant. One that is off has no entry, one that is on draws the same
      whatever is on beside it.
    """
    parameters = {
        name: VARIANTS[name].sample(
            named_seed(seed, name), batch, size, strength
        )
        for name in augmentation.variants
    }
    pool = augmentation.pool
    if pool:
        lots = [
            tf.random.stateless_uniform(
                (batch,), named_seed(seed, f"randaugment:{name}")
            )
            for name in pool
        ]
        drawn = tf.math.top_k(tf.stack(lots, 1), augmentation.chosen).indices
        chosen = tf.reduce_any(
            tf.one_hot(drawn, len(pool), True, False), axis=1
        )
        for place, name in enumerate(pool):
            parameters[name] = VARIANTS[name].sample(
                named_seed(seed, name),
                batch,
                size,
                strength * augmentation.magnitude,
                chosen[:, place],
            )
    return parameters


def apply(images, parameters: dict, noise_seed):
    """Applies sampled parameters to uint8 (batch, size, size, 3) images.

    One warp, one product with a matrix, then what composes with neither, and
    one mask; levels are rounded and cut to 0..255 once. Returns the same shape
    and dtype.

    noise_seed: int (2,), of the variant noise.
    """
    images = geometry.warp(images, parameters)
    images = color.recolor(images, parameters)
    images = pixels.filter_pixels(images, parameters, noise_seed)
    if images.dtype != tf.uint8:
        images = tf.saturate_cast(tf.round(images), tf.uint8)
    images = pixels.quantize(images, parameters)
    return occlusion.hide(images, parameters)
