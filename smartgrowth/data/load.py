"""From settings to data: the store that they name, made where missing."""

import dataclasses
import pathlib
from collections.abc import Collection

from smartgrowth import plan
from smartgrowth.config import Config
from smartgrowth.data import build, registry, store, taxonomy

DESCRIPTOR_SIZE = 32  # px, of the images whose likeness is measured


def open_data(config: Config) -> store.Data:
    """Opens the data that `config` names, at the image sizes of its plan."""
    sizes = plan.check_sizes(config)  # before minutes are spent on a store
    if config.needs_descriptor:
        sizes.add(DESCRIPTOR_SIZE)
    return open_images(config, sizes)


def open_images(config: Config, sizes: Collection[int]) -> store.Data:
    """Opens the data that `config` names, its store made where missing.

    sizes: sides of the images in pixels, any.
    """
    cache = pathlib.Path(config.cache_dir).expanduser()
    # A folder that was moved is still the same images.
    kind = config.dataset if config.dataset[:7] != "folder:" else "folder"
    images = registry.fingerprint(config.dataset, config.data_dir)
    directory = build.ensure_store(
        f"{kind} {images}",
        lambda: registry.load_source(
            config.dataset, config.data_dir, str(cache)
        ),
        sizes,
        cache,
    )
    data = store.open_data(directory, config.classes)
    # Not kept in the store: a taxonomy is changed without making it again.
    groups = taxonomy.find_groups(data.class_names, config.taxonomy)
    return dataclasses.replace(data, groups=groups or data.groups)
