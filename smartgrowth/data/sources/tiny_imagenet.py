"""A TFDS builder of Tiny ImageNet, which TFDS itself does not have.

The builder keeps the JPEG bytes as they are, in order, with their paths.
`tiny_imagenet_files` reads the zip.
"""

import pathlib
from collections.abc import Iterator
from typing import ClassVar

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import checksums

from smartgrowth.data.source import TRAIN, VALIDATION
from smartgrowth.data.sources.tfds import download_and_prepare
from smartgrowth.data.sources.tiny_imagenet_files import (
    SHA256,
    SIZE,
    URL,
    Files,
    open_files,
)


class TinyImagenet(tfds.core.GeneratorBasedBuilder):
    """Images of 64 x 64 px in 200 classes, or in the classes of a part.

    Examples hold "id" (the path, "train/n01443537/images/n01443537_0.JPEG"),
    "image" and "label". Test images have no labels and are left out.

    Args:
      **kwargs: as for every TFDS builder.
    """

    VERSION = tfds.core.Version("1.0.0")
    url_infos: ClassVar = {
        URL: checksums.UrlInfo(
            size=SIZE, checksum=SHA256, filename=pathlib.PurePath(URL).name
        )
    }

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="64 x 64 px images of 200 ImageNet classes.",
            homepage="http://cs231n.stanford.edu/",
            features=tfds.features.FeaturesDict(
                {
                    "id": tfds.features.Text(),
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    # The names are read once the archive is open.
                    "label": tfds.features.ClassLabel(),
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager):
        files = open_files(str(dl_manager.download(URL)))
        self.info.features["label"].names = list(files.class_names)
        return {
            split: self._generate_examples(files, split)
            for split in (TRAIN, VALIDATION)
        }

    def _generate_examples(
        self, files: Files, split: str
    ) -> Iterator[tuple[int, dict]]:
        for key, (path, label, jpeg) in enumerate(files.read(split)):
            yield key, {"id": path, "image": jpeg, "label": label}


def prepare(fingerprint: str, cache_dir: str | pathlib.Path) -> TinyImagenet:
    """Downloads and prepares it under `cache_dir`, unless it is there already.

    Args:
      fingerprint: of the content; part of the path.
      cache_dir: a permanent folder.

    Raises:
      UserError: it cannot be downloaded or written.
    """
    data_dir = pathlib.Path(cache_dir, "tfds", fingerprint)
    builder = TinyImagenet(data_dir=data_dir)
    download_and_prepare(builder, "tiny_imagenet", cache_dir)
    return builder
