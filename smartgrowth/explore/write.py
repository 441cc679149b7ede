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
from smartgrowth.explore import classes, duplicates, sections
from smartgrowth.growth import summarize
from smartgrowth.rendering.html import document
from smartgrowth.report.sections import data_section

PAGE = "explore.html"
STYLE = """details > div { overflow-x: auto; }
details summary { margin-top: 1rem; font-size: 1rem; }
.plots > figure { max-width: 38rem; }
.entering { align-content: start; grid-template-columns: 1fr; }
dl.entering dt { font-weight: 700; margin-top: .5rem; }
"""


def open_data(config: Config, say: Callable[[str], None] = print) -> Data:
    """The data that `config` names, at the sizes that the page needs."""
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
        text = _make_page(config, data, say)
        path.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(
            f"--workdir={config.workdir}: {PAGE} cannot be written "
            f"({error.strerror or error}); make room or name another folder"
        ) from error
    return path


def _make_page(config: Config, data: Data, say) -> str:
    size = data.stored_size(DESCRIPTOR_SIZE)
    pictures = data.stored_size(_picture_size(config))
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
    largest = max(*config.grow_size, config.final_size)
    body = [
        f"<dl>\n{sections.headline(data, _growth(planned))}</dl>",
        sections.counts(
            data,
            classes.stage_names(stages),
            order,
            config.balance == "oversample",
        ),
        sections.sizes(data.train, largest),
        sections.colour(data, size, config.seed),
        sections.samples(data, pictures, config.seed),
        sections.iconic(data, orders, pictures, config.seed),
        classes.section(data, features, stages, order, config.class_order),
        sections.near_duplicates(data, nearest, pictures),
        sections.augmentation(
            config, data, planned, order, sample_order(config, data)
        ),
        data_section({name: report[name] for name in ("refused", "repaired")}),
    ]
    count = len(data.train.labels) + len(data.validation.labels)
    return document(
        "What there is to learn",
        config.dataset,
        f"{count:,} images before training",
        "\n".join(body),
        STYLE,
    )


def _picture_size(config: Config) -> int:
    return max(DESCRIPTOR_SIZE, config.final_size, *config.grow_size)


def _growth(planned: plan.Plan) -> str:
    """Returns what grows in a plan, stage by stage, in words."""
    return summarize([dataclasses.asdict(stage) for stage in planned.stages])
