"""From a config to its data: opens the store, and makes it if missing."""

import dataclasses
import math
import pathlib
from collections.abc import Collection

from smartgrowth import UserError, planning
from smartgrowth.config import Config
from smartgrowth.data import build, registry, store, taxonomy
from smartgrowth.data.held_out import hold_out
from smartgrowth.data.leaks import drop_leaks
from smartgrowth.data.source import TRAIN
from smartgrowth.data.sources.listing import name_some
from smartgrowth.runtime.reporter import say

DESCRIPTOR_SIZE = 32  # px, of the images that descriptors are computed from


def open_data(config: Config) -> store.Data:
    """Opens the data that `config` names, at the image sizes of its plan."""
    sizes = planning.check_sizes(config)  # first, since a store takes minutes
    if config.needs_descriptor:
        sizes.add(DESCRIPTOR_SIZE)
    return open_images(config, sizes)


def open_images(config: Config, sizes: Collection[int]) -> store.Data:
    """Opens the data that `config` names, and makes its store if missing.

    Args:
      config: names dataset, classes, taxonomy and folders.
      sizes: sides of the images in pixels, in any order.

    Raises:
      UserError: the data is missing, or too much of it cannot be read.
    """
    cache = pathlib.Path(config.cache_dir).expanduser()
    # A folder that was moved still holds the same images.
    kind = config.dataset if config.dataset[:7] != "folder:" else "folder"
    images = registry.fingerprint(config.dataset, config.data_dir)
    sizes = {*sizes, DESCRIPTOR_SIZE} if config.drop_leaks else sizes
    directory = build.ensure_store(
        f"{kind} {images}",
        lambda: registry.load_source(
            config.dataset, config.data_dir, str(cache)
        ),
        sizes,
        cache,
    )
    data = store.open_data(directory, config.classes)
    _check_readable(config, data)
    if config.hold_out:
        data = hold_out(data, config.hold_out)
    if config.drop_leaks:  # of what is validated on now
        data = drop_leaks(data, data.stored_size(DESCRIPTOR_SIZE))
    # Not in the store, so that a new taxonomy does not need a new store.
    groups = taxonomy.find_groups(data.class_names, config.taxonomy)
    _say_unjudged(data)
    return dataclasses.replace(data, groups=groups or data.groups)


def _check_readable(config: Config, data: store.Data) -> None:
    """Raises `UserError` if more than `--max_bad_fraction` was left out.

    The store is kept, so that a higher fraction opens it at once.
    """
    for split, unreadable in data.unreadable.items():
        count = len(unreadable) + len(data.split(split).ids)
        fraction = len(unreadable) / count
        if fraction > config.max_bad_fraction:
            named = [f"{id} ({why})" for id, why in unreadable.items()]
            kind = "training" if split == TRAIN else split
            allowing = math.ceil(100 * fraction) / 100
            raise UserError(
                f"--dataset={config.dataset}: {len(unreadable):,} of "
                f"{count:,} {kind} images cannot be read, more than "
                f"--max_bad_fraction={config.max_bad_fraction:g}: "
                f"{name_some(named)}; mend or remove them, or leave them out "
                f"with --max_bad_fraction={allowing:g}"
            )


def _say_unjudged(data: store.Data) -> None:
    """Tells which classes the validation accuracy says nothing about."""
    judged = set(data.validation.labels.tolist())
    unjudged = [
        name
        for label, name in enumerate(data.class_names)
        if label not in judged
    ]
    if unjudged:
        say(
            f"{len(unjudged):,} of {len(data.class_names):,} classes have no "
            f"validation image and are never judged: {name_some(unjudged)}"
        )
