"""Any image classification dataset of TFDS as a `Source`."""

import importlib.resources.abc
import importlib.util
import pathlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from smartgrowth import UserError
from smartgrowth.data.source import TRAIN, VALIDATION, Encoded, Refusal, Source
from smartgrowth.data.sources.decode import one_line
from smartgrowth.names import clean

# TFDS 4.9.10 uses this package without requiring it, and every download fails
# without it. Python's own module has all that TFDS uses of it.
if importlib.util.find_spec("importlib_resources") is None:
    sys.modules["importlib_resources"] = importlib.resources

# TFDS logs every file that it opens, and absl.app shows that.
logging.set_verbosity(logging.WARNING)

_BATCH = 32  # encoded images read at a time


def load_tfds(
    tfds_name: str,
    name: str,
    fingerprint: str,
    data_dir: str | None,
    cache_dir: str | pathlib.Path,
    native_size: int | None = None,
    group_key: str | None = None,
) -> Source:
    """Returns a `Source` of a TFDS dataset, and downloads it if needed.

    Args:
      tfds_name: for `tfds.builder`, as "imagenette/320px-v2".
      name: the `--dataset` value.
      fingerprint: of the source.
      data_dir: a TFDS data directory in which it is prepared; None downloads.
      cache_dir: where a download is kept.
      native_size: as in `Source`; None takes it from the image's shape.
      group_key: the feature with the coarse label, if there is one.

    Raises:
      UserError: no such dataset, not prepared, no internet, or not a dataset
        of images with one label each.
    """
    builder = _open_builder(tfds_name, name, data_dir, cache_dir)
    image_key, label_key = _supervised_keys(builder, name)
    validation_split(builder, name)
    features = builder.info.features
    sides = features[image_key].shape[:2]
    if native_size is None and None not in sides:
        native_size = min(sides)
    groups = None
    if group_key is not None:
        split = validation_split(builder, name)
        keys = {label_key, group_key}
        batches = _read(builder, split, keys, image_key)
        groups = _read_groups(batches, features, label_key, group_key)
    return Source(
        name=name,
        fingerprint=fingerprint,
        class_names=tuple(map(clean, features[label_key].names)),
        native_size=native_size,
        examples=lambda: stream(builder, name, image_key, label_key),
        groups=groups,
    )


def stream(
    builder: tfds.core.DatasetBuilder,
    name: str,
    image_key: str = "image",
    label_key: str = "label",
    id_key: str = "tfds_id",
) -> Iterator[Encoded | Refusal]:
    """Yields the training and the validation images of a prepared dataset.

    They are decoded later, not by TFDS: so a broken image is refused, while an
    error in `tf.data` would end the stream.
    """
    channels = builder.info.features[image_key].shape[-1]
    expected = ("grayscale",) if channels == 1 else ()
    keys = {image_key, label_key, id_key}

    splits = {TRAIN: "train", VALIDATION: validation_split(builder, name)}
    try:
        for split, tfds_split in splits.items():
            for batch in _read(builder, tfds_split, keys, image_key):
                for id, label, image in zip(
                    *(batch[key] for key in (id_key, label_key, image_key)),
                    strict=True,
                ):
                    if label < 0:
                        yield Refusal(id.decode(), "no label")
                        continue
                    yield Encoded(
                        id.decode(), split, int(label), image, expected
                    )
    except tf.errors.OpError as error:
        raise UserError(
            f"--dataset={name}: the prepared dataset is damaged "
            f"({one_line(error)}); delete {builder.data_dir} and start again"
        ) from error


def validation_split(builder: tfds.core.DatasetBuilder, name: str) -> str:
    """Returns the split to validate on: validation if there is one, or test."""
    splits = list(builder.info.splits)
    for split in ("validation", "test"):
        if split in splits and "train" in splits:
            return split
    raise UserError(
        f"--dataset={name}: has the splits {', '.join(splits) or 'none'}; "
        "needs train, and validation or test; choose another dataset"
    )


def download_and_prepare(
    builder: tfds.core.DatasetBuilder, name: str, cache_dir: str | pathlib.Path
) -> None:
    """Downloads and prepares a dataset, unless it is there already.

    Raises:
      UserError: that failed.
    """
    if pathlib.Path(builder.data_dir).is_dir():
        return
    # One folder per dataset: if it has files, no network may be needed.
    downloads = pathlib.Path(cache_dir, "downloads", builder.name)
    if not any(downloads.glob("*")):
        _assert_reachable(next(iter(builder.url_infos or ()), None), name)
    try:
        builder.download_and_prepare(
            download_dir=downloads,
            download_config=tfds.download.DownloadConfig(
                try_download_gcs=False
            ),
        )
    except UserError:
        raise
    except Exception as error:  # the dataset's code may raise any kind
        raise UserError(
            f"--dataset={name}: download failed ({one_line(error)}); "
            f"{_way_out(name)}"
        ) from error


def _assert_reachable(url: str | None, name: str) -> None:
    """Raises `UserError` at once if there is no internet.

    TFDS would try ten times, for more than three minutes.
    """
    if url is None or not url.startswith("http"):
        return
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError:
        pass  # the server answered: let TFDS send its own request
    except OSError as error:
        reason = one_line(getattr(error, "reason", error))
        raise UserError(
            f"--dataset={name}: cannot reach {url} ({reason}); {_way_out(name)}"
        ) from error


def _way_out(name: str) -> str:
    if name == "tiny_imagenet":
        return "get the zip by other means and pass --data_dir=PATH of it"
    return (
        "pass --data_dir=PATH of a TFDS directory that was prepared "
        "elsewhere, or choose --dataset=glyphs, which needs no download"
    )


def _open_builder(
    tfds_name: str,
    name: str,
    data_dir: str | None,
    cache_dir: str | pathlib.Path,
) -> tfds.core.DatasetBuilder:
    place = pathlib.Path(data_dir or pathlib.Path(cache_dir, "tfds"))
    place = place.expanduser().absolute()
    if data_dir is not None and not place.is_dir():
        raise UserError(
            f"--data_dir={data_dir}: no such folder; pass the TFDS directory "
            f"in which {tfds_name} was prepared, or leave --data_dir out"
        )
    try:
        builder = tfds.builder(tfds_name, data_dir=str(place))
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(
            f"--dataset={name}: TFDS has no {tfds_name!r}; "
            "tensorflow.org/datasets lists what it has"
        ) from error
    except Exception as error:  # an unknown version or configuration
        raise UserError(
            f"--dataset={name}: TFDS cannot open {tfds_name!r} "
            f"({one_line(error)}); tensorflow.org/datasets lists what it has"
        ) from error
    if data_dir is None:
        download_and_prepare(builder, name, cache_dir)
    elif not pathlib.Path(builder.data_dir).is_dir():
        raise UserError(
            f"--data_dir={data_dir}: {tfds_name} is not prepared there "
            f"({builder.data_dir} is missing); pass the TFDS directory in "
            "which it is, or leave --data_dir out to download it"
        )
    return builder


def _supervised_keys(
    builder: tfds.core.DatasetBuilder, name: str
) -> tuple[str, str]:
    keys, features = builder.info.supervised_keys, builder.info.features
    if keys is None or len(keys) != 2:
        problem = f"its supervised_keys are {keys}"
    elif not isinstance(features[keys[0]], tfds.features.Image):
        problem = f"its {keys[0]!r} is no image"
    elif features[keys[0]].np_dtype != np.uint8:
        problem = f"its {keys[0]!r} is no 8-bit image"
    elif not isinstance(features[keys[1]], tfds.features.ClassLabel):
        problem = f"its {keys[1]!r} is no class label"
    else:
        return keys
    raise UserError(
        f"--dataset={name}: not a dataset of images with one class each, "
        f"{problem}; choose another"
    )


def _read_groups(
    batches: Iterator[dict],
    features: tfds.features.FeaturesDict,
    fine: str,
    coarse: str,
) -> dict[str, str]:
    """Returns class -> coarse label, read from the images' labels."""
    groups = {}
    for batch in batches:
        for label, group in zip(batch[fine], batch[coarse], strict=True):
            name_of_class = clean(features[fine].names[label])
            groups[name_of_class] = features[coarse].names[group]
    return groups


def _read(
    builder: tfds.core.DatasetBuilder,
    split: str,
    keys: set[str],
    image_key: str,
) -> Iterator[dict]:
    """Returns batches of features in a fixed order; images stay encoded."""
    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 2
    config = tfds.ReadConfig(
        options=options,
        try_autocache=False,  # it would keep the whole dataset in memory
        add_tfds_id="tfds_id" in keys,
        interleave_cycle_length=1,
        num_parallel_calls_for_decode=2,
        num_parallel_calls_for_interleave_files=1,
    )
    dataset = builder.as_dataset(
        split=split,
        read_config=config,
        decoders={image_key: tfds.decode.SkipDecoding()},
    )
    # Other features may be ragged and could not be batched.
    dataset = dataset.map(lambda example: {key: example[key] for key in keys})
    return dataset.batch(_BATCH).as_numpy_iterator()
