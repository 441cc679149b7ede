"""`--init_from`: a network starts with the weights of an earlier run."""

import dataclasses
import pathlib
from collections.abc import Sequence

import keras
import numpy as np

from smartgrowth import UserError
from smartgrowth.config import Config
from smartgrowth.evaluation.saved_model import open_model
from smartgrowth.flags.model import is_users
from smartgrowth.models import freezing
from smartgrowth.models.groups import HEAD
from smartgrowth.models.keras_layers import channel_statistics
from smartgrowth.runs import files
from smartgrowth.runs.identity import model_file
from smartgrowth.runs.manifest import hash_file, read_manifest
from smartgrowth.runs.predictions import read_classes
from smartgrowth.runs.reader import read_flags


@dataclasses.dataclass(frozen=True, eq=False)
class Pretrained:
    """A finished run's network.

    name: as the user named it. weights: (name without its layer's, value) of
      each variable, in the network's order. class_names: of the logits. mean,
      variance: of the channels, by which it normalizes images; None if its
      layers are the user's own. flags: of the run, by name; empty if it has
      lost them.
    """

    name: str
    weights: list[tuple[str, np.ndarray]]
    class_names: tuple[str, ...]
    mean: list[float] | None
    variance: list[float] | None
    flags: dict[str, str]

    def load_into(self, model: keras.Model, class_names: Sequence[str]) -> str:
        """Gives a network these weights; returns what became of the head.

        In the head, classes of the same name keep theirs, the others keep their
        random ones.

        Args:
          model: built, with layer groups.
          class_names: of its logits.

        Raises:
          UserError: it is another network.
        """
        head = {
            id(variable)
            for layer in freezing.layers_of(model, (HEAD,))
            for variable in layer.variables
        }
        ours = model.weights  # without the seeds of dropout
        if len(ours) != len(self.weights):
            raise self._other_network(
                f"has {len(self.weights)} weights, this one {len(ours)}"
            )
        old = {name: place for place, name in enumerate(self.class_names)}
        kept = [place for place, n in enumerate(class_names) if n in old]
        from_ = [old[class_names[place]] for place in kept]
        for index, (variable, (name, value)) in enumerate(
            zip(ours, self.weights, strict=True), start=1
        ):
            shape, of_classes = tuple(variable.shape), id(variable) in head
            of_classes &= value.shape[-1:] == (len(old),)
            of_classes &= shape[-1:] == (len(class_names),)
            expected = shape[:-1] if of_classes else shape
            found = value.shape[:-1] if of_classes else value.shape
            if expected != found:
                raise self._other_network(
                    f"has the shape {value.shape} at weight {index}, {name}, "
                    f"this one {shape}"
                )
            if not of_classes:
                variable.assign(value)
                continue
            mixed = np.array(variable)
            mixed[..., kept] = value[..., from_]
            variable.assign(mixed)
        if not kept:
            told = "none of its classes is here: the head is made anew"
        elif len(kept) == len(class_names):
            told = "all classes keep their weights in the head"
        else:
            told = (
                f"{len(kept)} classes keep their weights in the head, "
                f"{len(class_names) - len(kept)} are new there"
            )
        return f"starts from {self.name}; {told}"

    def warning(self, config: Config) -> str | None:
        """Returns what is wrong with the images that it was trained on.

        A share held out holds every smaller share.
        """
        same = self.flags.get("dataset") == config.dataset
        if same and float(self.flags.get("hold_out", 0)) < config.hold_out:
            return (
                f"warning: --init_from={self.name} was trained on images that "
                f"--hold_out={config.hold_out:g} validates on, so accuracies "
                "will be too high; train it with the same --hold_out"
            )
        return None

    def _other_network(self, difference: str) -> UserError:
        given = [
            f"--{name}={self.flags[name]}"
            for name in ("model", "width", "depth")
            if name in self.flags
        ]
        return UserError(
            f"--init_from={self.name}: its network {difference}; give "
            f"{' '.join(given) or '--model, --width, --depth'} as it had"
        )


def read(name: str) -> Pretrained:
    """Reads the network of `--init_from`.

    name: a run's folder, whose manifest must vouch for the network; or its
      `final.keras`, which is taken as it is.

    Raises:
      UserError: it cannot be read, is not what the manifest says, or does not
        begin with a normalization of raw images.
    """
    path = model_file(name)
    directory = path.parent
    if not path.is_file():
        raise UserError(
            f"--init_from={name}: there is no {path}; name the folder of a "
            f"finished run, or its {files.MODEL}"
        )
    if path != pathlib.Path(name).expanduser():
        check_manifest(name, path)
    try:
        class_names = tuple(read_classes(directory))
        model = open_model(path, len(class_names))
    except UserError as error:
        raise UserError(f"--init_from={name}: {error}") from error
    statistics = channel_statistics(model)
    try:
        flags = read_flags(directory)
    except UserError:
        flags = {}  # only what an error would name
    if is_users(flags.get("model", "")):
        statistics = None, None  # its own layers do that
    if statistics is None:
        raise UserError(
            f"--init_from={name}: {path.name} does not begin with a "
            "normalization of raw images, as the networks of this program do; "
            "name a run of this program"
        )
    weights = [
        (variable.name, np.array(variable)) for variable in model.weights
    ]
    return Pretrained(name, weights, class_names, *statistics, flags)


def check_manifest(name: str, path: pathlib.Path) -> None:
    """Checks that a run's network is what its manifest says.

    Raises:
      UserError: it is not, or there is no manifest.
    """
    manifest = path.with_name(files.MODEL_MANIFEST)
    try:
        found = read_manifest(manifest)
        if found["sha256"] != hash_file(path):
            raise ValueError("its hash is not the manifest's")
    except (OSError, ValueError) as error:
        raise UserError(
            f"--init_from={name}: nothing vouches for its {path.name} "
            f"({error}); --init_from={path} takes it as it is"
        ) from None
