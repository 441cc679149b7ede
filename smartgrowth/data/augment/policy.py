"""Augmentation in place: sample the parameters of a batch, then apply them.

The program's own variants draw from stateless generators, so that a batch is a
pure function of its seed. The number of images stays the same.
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
    # For small networks at 32 to 64 px: all variants that compose, except zoom
    # and aspect, which crop includes. Blur, sharpness and noise would double
    # the cost.
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
# Randaugment does not choose these: mirror images may vote in evaluation.
NOT_CHOSEN = {"flip"}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What `--augment`, `--mixup` and `--cutmix` do to a batch.

    Attributes:
      variants: names of `VARIANTS`, applied to every image.
      chosen: how many of the other variants randaugment chooses per image.
      magnitude: the strength of those.
      stock: (library, layer) pairs, in their order.
      mixup, cutmix: shares of the images.
      seed: for layers that cannot draw from a batch's seed.
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
        """Whether images are mirrored left to right."""
        flips = {(library, "RandomFlip") for library in keras_layers.LAYERS}
        return "flip" in self.variants or bool(flips.intersection(self.stock))

    @property
    def is_reproducible(self) -> bool:
        """Whether a batch is a function of its seed alone.

        If not, a resumed run does not see the batches that it would have seen
        without the interruption.
        """
        return all(
            keras_layers.draws_from_the_seed(*layer) for layer in self.stock
        )


def choose(config: Config) -> Augmentation:
    """Returns the augmentation that the flags choose.

    Entries of `--augment` are presets, variants, randaugment:N:MAGNITUDE, and
    keras:NAME or keras_cv:NAME; a NAME after one of those is from the same
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


def augment(
    images,
    targets,
    augmentation: Augmentation,
    strength: float,
    seed,
    mirrored=None,
):
    """Returns an augmented batch, as the network sees it.

    Args:
      images: uint8 (batch, size, size, 3).
      targets: float32 (batch, classes), a distribution over the active
        classes, -1 for the others.
      augmentation: as `choose` returns it.
      strength: of the stage, 0 (no change) to 1.
      seed: int (2,) tensor.
      mirrored: bool (batch,), whose turn it is to be mirrored; drawn if None.

    Returns:
      Images and targets of the same shapes and dtypes.
    """
    if not strength:
        return images, targets
    batch, size = images.shape[:2]
    parameters = sample_parameters(
        augmentation, strength, size, batch, seed, mirrored
    )
    images = apply(images, parameters, named_seed(seed, "noise of pixels"))
    if augmentation.stock:
        images = tf.cast(images, tf.float32)
        for index, (library, name) in enumerate(augmentation.stock):
            # A layer that is named twice draws twice.
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
    augmentation: Augmentation,
    strength: float,
    size: int,
    batch: int,
    seed,
    mirrored=None,
) -> dict:
    """Draws what happens to each image of a batch.

    mirrored: as in `augment`.

    Returns:
      Variant name -> float32 (batch, n); comments at the variants define the
      numbers. A variant that is off has no entry. The draws of one do not
      depend on which others are on.
    """
    chosen = {"flip": mirrored}
    parameters = {
        name: VARIANTS[name].sample(
            named_seed(seed, name), batch, size, strength, chosen.get(name)
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

    One warp, one matrix product, then the variants that compose with neither,
    and one mask. Values are rounded and clipped to 0..255 once.

    Args:
      images: uint8 (batch, size, size, 3).
      parameters: of `sample_parameters`.
      noise_seed: int (2,), for the variant noise.

    Returns:
      uint8 (batch, size, size, 3).
    """
    images = geometry.warp(images, parameters)
    images = color.recolor(images, parameters)
    images = pixels.filter_pixels(images, parameters, noise_seed)
    if images.dtype != tf.uint8:
        images = tf.saturate_cast(tf.round(images), tf.uint8)
    images = pixels.quantize(images, parameters)
    return occlusion.hide(images, parameters)
