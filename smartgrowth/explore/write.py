"""Writes explore.html: one page about a dataset, to read before training.

TensorFlow is imported late, for the augmented images.
"""

import dataclasses
import pathlib

from smartgrowth import UserError, planning
from smartgrowth.config import Config
from smartgrowth.curriculum import choose, descriptors
from smartgrowth.data import duplicates
from smartgrowth.data.load import DESCRIPTOR_SIZE, open_images
from smartgrowth.data.store import Data
from smartgrowth.experiment import Experiment
from smartgrowth.explore import classes, pictures, sections
from smartgrowth.growth import summarize
from smartgrowth.rendering import html
from smartgrowth.report import data_report
from smartgrowth.runs.files import write_text
from smartgrowth.runtime.reporter import say
from smartgrowth.stages import Plan

PAGE = "explore.html"
TEMPLATE = "explore/templates/explore.html.jinja2"


def open_data(config: Config) -> Data:
    """Returns the data of `config`, at the sizes that the page needs."""
    sizes = planning.check_sizes(config)  # first, since a store takes minutes
    # The page is there to show also what cannot be read.
    tolerant = dataclasses.replace(config, max_bad_fraction=1.0)
    return open_images(tolerant, {DESCRIPTOR_SIZE, *sizes})


def explore(experiment: Experiment) -> pathlib.Path:
    """Writes `explore.html` into `--workdir`, which may hold a run.

    Args:
      experiment: its dataset, orders and stages are shown; its data comes from
        `open_data`.

    Returns:
      The path of the page, which needs no other file.

    Raises:
      UserError: the page cannot be written.
    """
    config = experiment.config
    path = pathlib.Path(config.workdir).expanduser() / PAGE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, html.render(TEMPLATE, **_values(experiment)))
    except OSError as error:
        raise UserError(
            f"--workdir={config.workdir}: {PAGE} cannot be written "
            f"({error.strerror or error}); make room or name another folder"
        ) from error
    return path


def _values(experiment: Experiment) -> dict:
    """Returns the template's variables."""
    config, data = experiment.config, experiment.data
    order = experiment.class_order
    size = data.stored_size(DESCRIPTOR_SIZE)
    large = data.stored_size(_picture_size(config))
    iconic = dataclasses.replace(config, sample_order="iconic")
    stages = classes.entering_stages(experiment.plan, order)
    features = descriptors.describe(config, data)
    say("choosing iconic images")
    iconic_order = choose.image_order(iconic, data)
    nearest = duplicates.find_nearest(data.train, data.validation, size)
    say("drawing")
    report = data.report()
    return {
        "title": "What there is to learn",
        "name": config.dataset,
        "images": len(data.train.labels) + len(data.validation.labels),
        "headline": sections.headline(data, _growth(experiment.plan)),
        "counts": sections.counts(
            data,
            classes.stage_names(stages),
            order,
            config.balance == "oversample",
        ),
        "sizes": sections.sizes(
            data.train, max(*config.grow_size, config.final_size)
        ),
        "color": sections.color(data, size, config.seed),
        "samples": pictures.samples(data, large, config.seed),
        "iconic": pictures.iconic(data, iconic_order, large, config.seed),
        "class_order": classes.class_order(
            data, features, stages, order, config.class_order
        ),
        "near_duplicates": pictures.near_duplicates(data, nearest, large),
        "augmentation": pictures.augmentation(experiment),
        "data_report": data_report.entries(
            {name: report[name] for name in ("refused", "repaired")}
        ),
    }


def _picture_size(config: Config) -> int:
    return max(DESCRIPTOR_SIZE, config.final_size, *config.grow_size)


def _growth(planned: Plan) -> str:
    """Returns what grows in a plan, stage by stage, in words."""
    return summarize([dataclasses.asdict(stage) for stage in planned.stages])
