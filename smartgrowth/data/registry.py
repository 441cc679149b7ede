"""Dataset name -> how to get it.

`fingerprint` is cheap and identifies the images, so that an existing store can
be found; `load_source` opens them to make a store, and may import TFDS.
"""

import difflib
import functools
import pathlib
from collections.abc import Callable

from smartgrowth import UserError
from smartgrowth.data.source import TRAIN, VALIDATION, Encoded, Source
from smartgrowth.data.sources import folder, listing, tiny_imagenet_files

CacheDir = str | pathlib.Path


def _load_glyphs(data_dir: str | None, cache_dir: CacheDir) -> Source:
    from smartgrowth.data.sources import glyphs

    # Constant, so that --seed does not change the images.
    return glyphs.make_source(seed=0)


def _load_tiny_imagenet(data_dir: str | None, cache_dir: CacheDir) -> Source:
    """Returns the source; without `data_dir`, TFDS downloads and reads it."""
    fingerprint = tiny_imagenet_files.fingerprint(data_dir)
    if data_dir is None:
        from smartgrowth.data.sources import tfds, tiny_imagenet
        from smartgrowth.runtime import devices

        devices.hide_accelerators_from_tensorflow()
        builder = tiny_imagenet.prepare(fingerprint, cache_dir)
        names = builder.info.features["label"].names
        examples = functools.partial(
            tfds.stream, builder, "tiny_imagenet", id_key="id"
        )
    else:
        files = tiny_imagenet_files.open_files(data_dir)
        names = files.class_names

        def examples():
            for split in (TRAIN, VALIDATION):
                for id, label, content in files.read(split):
                    yield Encoded(id, split, label, content)

    return Source(
        name="tiny_imagenet",
        fingerprint=fingerprint,
        class_names=tuple(names),
        native_size=64,
        examples=examples,
    )


def _load_cifar10(data_dir: str | None, cache_dir: CacheDir) -> Source:
    return _load_tfds("cifar10", "cifar10", data_dir, cache_dir)


def _load_cifar100(data_dir: str | None, cache_dir: CacheDir) -> Source:
    return _load_tfds(
        "cifar100", "cifar100", data_dir, cache_dir, group_key="coarse_label"
    )


def _load_imagenette(data_dir: str | None, cache_dir: CacheDir) -> Source:
    return _load_tfds(
        "imagenette",
        "imagenette/320px-v2",
        data_dir,
        cache_dir,
        native_size=320,
    )


def _load_tfds(name, tfds_name, data_dir, cache_dir, **options) -> Source:
    from smartgrowth.data.sources import tfds
    from smartgrowth.runtime import devices

    devices.hide_accelerators_from_tensorflow()
    return tfds.load_tfds(
        tfds_name,
        name,
        fingerprint(name, data_dir),
        data_dir,
        cache_dir,
        **options,
    )


# name -> function of (data_dir, cache_dir)
DATASETS: dict[str, Callable[[str | None, CacheDir], Source]] = {
    "glyphs": _load_glyphs,
    "tiny_imagenet": _load_tiny_imagenet,
    "cifar10": _load_cifar10,
    "cifar100": _load_cifar100,
    "imagenette": _load_imagenette,
}
PREFIXES = ("tfds:", "folder:")


def load_source(
    dataset: str, data_dir: str | None, cache_dir: CacheDir
) -> Source:
    """Returns the source of a dataset.

    Args:
      dataset: a name in `DATASETS`, "tfds:NAME" or "folder:PATH".
      data_dir: where the data is; None to download it. PATH of "folder:PATH"
        may be relative to it.
      cache_dir: a folder for downloads and for datasets that TFDS prepares.

    Raises:
      UserError: unknown name, or the data is missing or incomplete.
    """
    kind, rest = _parse(dataset)
    data_dir = data_dir or None
    if kind == "tfds":
        return _load_tfds(dataset, rest, data_dir, cache_dir)
    if kind == "folder":
        return folder.load_folder(_join(data_dir, rest), dataset)
    return DATASETS[dataset](data_dir, cache_dir)


def fingerprint(dataset: str, data_dir: str | None = None) -> str:
    """Returns the source's `fingerprint`, without TFDS and TensorFlow.

    Raises:
      UserError: unknown name, or nothing is at its path.
    """
    kind, rest = _parse(dataset)
    if kind == "folder":
        return folder.fingerprint(_join(data_dir, rest))
    if dataset == "glyphs":
        return _load_glyphs(None, "").fingerprint
    if dataset == "tiny_imagenet":
        return tiny_imagenet_files.fingerprint(data_dir or None)
    # TFDS datasets are versioned: name and folder identify the images.
    place = pathlib.Path(data_dir).expanduser().absolute() if data_dir else ""
    return f"tfds-{listing.hash_entries({dataset: (str(place),)})}"


def _join(data_dir: str | None, path: str) -> str:
    return str(pathlib.Path(data_dir or "", path))


def _parse(dataset: str) -> tuple[str, str]:
    """Returns the prefix and the rest, or the name and ""."""
    if dataset in DATASETS:
        return dataset, ""
    for prefix in PREFIXES:
        if dataset.startswith(prefix) and dataset != prefix:
            return prefix[:-1], dataset.removeprefix(prefix)
    near = difflib.get_close_matches(dataset, DATASETS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    raise UserError(
        f"--dataset={dataset}: unknown; choose one of {', '.join(DATASETS)}, "
        f"tfds:NAME, folder:PATH{hint}"
    )
