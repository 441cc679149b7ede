"""Where images come from: sources, the store on disk, and tf.data batches."""

import pathlib

from smartgrowth.config import Config
from smartgrowth.data import build, registry, store


def open_data(config: Config, say=print) -> store.Data:
    """The data that `config` names, its store made first where missing.

    say: takes lines of progress.
    """
    cache = pathlib.Path(config.cache_dir).expanduser()
    directory = build.ensure_store(
        registry.fingerprint(config.dataset, config.data_dir),
        lambda: registry.load_source(
            config.dataset, config.data_dir, str(cache)
        ),
        {*config.grow_size, config.final_size},
        cache,
        say,
    )
    return store.open_data(directory, config.classes)
