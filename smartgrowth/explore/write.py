"""What to look at before training: explore.html, one page about a dataset.

TensorFlow is imported late, for what augmentation does to images.
"""

import dataclasses
import pathlib
from collections.abc import Callable

from smartgrowth import UserError, plan
from smartgrowth.config import Config
from smartgrowth.curriculum import descriptors
from smartgrowth.curriculum.choose import sample_order
from smartgrowth.data.load import DESCRIPTOR_SIZE, open_images
from smartgrowth.data.store import Data
from smartgrowth.experiment import plan_run
from smartgrowth.explore import classes, duplicates, pictures, sections
from smartgrowth.rendering import html
from smartgrowth.report import data_report

PAGE = "explore.html"
TEMPLATE = "explore/templates/explore.html.jinja2"


def open_data(config: Config, say: Callable[[str], None] = print) -> Data:
    """Returns the data of `config`, at the sizes that the page needs."""
    sizes = plan.check_sizes(config)  # before minutes are spent on a store
    return open_images(config, {DESCRIPTOR_SIZE, *sizes}, say)


def explore(
    config: Config, data: Data, say: Callable[[str], None] = print
) -> pathlib.Path:
    """Writes `explore.html` into `--workdir`, where a run may be.

    Args:
      config: its dataset, orders and stages are what the page shows.
      data: of `open_data`.
      say: takes lines of progress.

    Returns:
      The path of the page, which needs nothing beside it.

    Raises:
      UserError: the settings make no plan, or the page cannot be written.
    """
    path = pathlib.Path(config.workdir).expanduser() / PAGE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        text = html.render(TEMPLATE, **_values(config, data, say))
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            f"--workdir={config.workdir}: {PAGE} cannot be written "
            f"({error.strerror or error}); make room or name another folder"
        ) from error
    return path


def _values(config: Config, data: Data, say) -> dict:
    """Returns what the template names."""
    size = data.stored_size(DESCRIPTOR_SIZE)
    large = data.stored_size(_picture_size(config))
    iconic = dataclasses.replace(config, sample_order="iconic")
    planned, _, order = plan_run(config, data)
    stages = classes.entering_stages(planned, order)
    features = descriptors.describe(config, data, say)
    say("choosing iconic images")
    orders = sample_order(iconic, data)
    nearest = duplicates.find_nearest(
        data.train, data.validation, size, say=say
    )
    say("drawing")
    report = data.report()
    return {
        "title": "What there is to learn",
        "name": config.dataset,
        "images": len(data.train.labels) + len(data.validation.labels),
        "headline": sections.headline(data, _growth(planned)),
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
        "iconic": pictures.iconic(data, orders, large, config.seed),
        "class_order": classes.class_order(
            data, features, stages, order, config.class_order
        ),
        "near_duplicates": pictures.near_duplicates(data, nearest, large),
        "augmentation": pictures.augmentation(
            config, data, planned, order, sample_order(config, data)
        ),
        "data_report": data_report.entries(
            {name: report[name] for name in ("refused", "repaired")}
        ),
    }


def _picture_size(config: Config) -> int:
    return max(DESCRIPTOR_SIZE, config.final_size, *config.grow_size)


def _growth(planned: plan.Plan) -> str:
    """Classes, images and pixels, stage by stage, as far as they change."""
    grown = []
    for what, name in (
        ("classes", "num_classes"),
        ("images", "num_images"),
        ("px", "image_size"),
    ):
        values = [getattr(stage, name) for stage in planned.stages]
        if len(set(values)) > 1:
            shown = " → ".join(f"{value:,}" for value in values)
            grown.append(f"{shown} {what}")
    return "; ".join(grown) or "nothing: a plain baseline"
