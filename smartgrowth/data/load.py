"""Where images come from: sources, the store on disk, and tf.data batches."""

import dataclasses
import pathlib

from smartgrowth import plan
from smartgrowth.config import Config
from smartgrowth.data import build, registry, store, taxonomy

DESCRIPTOR_SIZE = 32  # px, of the images whose likeness is measured


def open_data(config: Config, say=print) -> store.Data:
    """The data that `config` names, at the image sizes of its plan.

    say: takes lines of progress.
    """
    sizes = plan.check_sizes(config)  # before minutes are spent on a store
    if config.needs_descriptor:
        sizes.add(DESCRIPTOR_SIZE)
    return open_images(config, sizes, say)


def open_images(config: Config, sizes, say=print) -> store.Data:
    """The data that `config` names at any sizes, its store made where missing.

    sizes: sides in pixels.
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
        say,
    )
    data = store.open_data(directory, config.classes)
    # Not kept in the store: a taxonomy is changed without making it again.
    groups = taxonomy.find_groups(data.class_names, config.taxonomy, say)
    return dataclasses.replace(data, groups=groups or data.groups)
