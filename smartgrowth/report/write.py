"""One page about one run: `report.html` and its plots, from a run directory.

It reads files and nothing else (no model, no TensorFlow), so it also serves a
run that is still going. Comparing several runs is compare/'s work.
"""

import dataclasses
import pathlib

from markupsafe import Markup

from smartgrowth import UserError
from smartgrowth.rendering import html, svg_chart
from smartgrowth.rendering.chart import Chart
from smartgrowth.rendering.figure import (
    Plot,
    draw_charts,
    make_plot,
    render,
)
from smartgrowth.rendering.text import stage_summary
from smartgrowth.report import curves, data_report, sections
from smartgrowth.report.outcome import OUTCOMES, Outcome, is_wide, read_outcome
from smartgrowth.runs import files
from smartgrowth.runs.reader import Run, read_json, read_lines, read_run

TEMPLATE = "report/templates/report.html.jinja2"


def write_report(directory: pathlib.Path | str) -> pathlib.Path:
    """Writes `report.html` and its plots into a run directory.

    The page needs nothing beside it. The plots are also written as files, for
    light screens: `files.PLOTS`, the last three once there are
    predictions.

    Args:
        directory: the `--workdir` of a run, finished or still going.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: it is not a run directory, a file in it is malformed, or it
          cannot be written.
    """
    directory = pathlib.Path(directory).expanduser()
    run = read_run(directory)
    course = make_course(run)
    outcome, plots, outputs = read_outcome(run), {}, {}
    for name, figure in course.items():
        outputs[f"{name}.png"], _ = render(figure.draw_into, "light")
    if outcome:
        plots, pictures = _draw(outcome)
        outputs |= pictures
    outputs[files.REPORT] = html.render(
        TEMPLATE, **_values(run, course, outcome, plots)
    ).encode()
    try:
        for name, content in outputs.items():
            (directory / name).write_bytes(content)
    except OSError as error:
        raise UserError(
            f"{directory / name} cannot be written ({error.strerror or error})"
            "; make room there and give `--mode=report`"
        ) from error
    return directory / files.REPORT


@dataclasses.dataclass(frozen=True)
class CourseFigure:
    """Charts of one thing below one another, by the axis they are against.

    charts: key of `curves.AXES` -> charts; "" -> charts without the choice.
    """

    title: str
    charts: dict[str, list[Chart]]

    def draw_into(self, figure) -> str:
        """Draws the charts of the first axis into a matplotlib figure."""
        return draw_charts(figure, next(iter(self.charts.values())))

    def drawn(self) -> dict[str, list[tuple[str, Markup]]]:
        """Returns axis -> (heading, SVG) of each chart, for the page."""
        return {
            axis: [
                (chart.y.label, svg_chart.draw(chart, svg_chart.LOW))
                for chart in charts
            ]
            if len(charts) > 1
            else [("", svg_chart.draw(charts[0]))]
            for axis, charts in self.charts.items()
        }


def make_course(run: Run) -> dict[str, CourseFigure]:
    """Returns the figures of the training, by the names of their files."""
    axes = curves.AXES
    return {
        "accuracy": CourseFigure(
            "Accuracy", {axis: [curves.accuracies(run, axis)] for axis in axes}
        ),
        "loss": CourseFigure(
            "Loss", {axis: [curves.losses(run, axis)] for axis in axes}
        ),
        "learning_rate": CourseFigure(
            "Learning rate and momentum",
            {axis: curves.rates(run, axis) for axis in axes},
        ),
        "loss_by_size": CourseFigure(
            "Loss against image size", {"": [curves.losses_by_size(run)]}
        ),
    }


def _values(
    run: Run,
    course: dict[str, CourseFigure],
    outcome: Outcome | None,
    plots: dict[str, Plot],
) -> dict:
    """Returns what the template names."""
    reported = read_json(run.directory / files.DATA_REPORT)
    return {
        "title": "{model} on {dataset}".format_map(run.flags),
        "name": run.directory.resolve().name,
        "run": run,
        "headline": sections.headline(
            run, outcome.reliability.error if outcome else None
        ),
        "axes": curves.AXES,
        "course": [(fig.title, fig.drawn()) for fig in course.values()],
        "summaries": [stage_summary(stage) for stage in run.stages],
        "stages": sections.stage_table(run),
        "outcome": outcome and _outcome_values(outcome, plots),
        "hard_images": sections.hard_images(run),
        "test_time": sections.test_time(run),
        "figures": sections.final_figures(run),
        "audit": sections.audit(run),
        "augmentation": sections.augmentation(run),
        "data_report": data_report.entries(reported),
        "made_with": sections.made_with(run),
        "flags": read_lines(run.directory / files.FLAGS),
    }


def _outcome_values(outcome: Outcome, plots: dict[str, Plot]) -> dict:
    return {
        "wide": is_wide(outcome),
        "plots": plots,
        "confusions": sections.confusions(outcome),
        "bars": sections.class_bars(outcome),
        "classes": sections.class_table(outcome),
    }


def _draw(outcome: Outcome) -> tuple[dict[str, Plot], dict[str, bytes]]:
    """Returns the plots of what a run predicts for the page, and as files."""
    plots, outputs = {}, {}
    for name, (title, note, draw) in OUTCOMES.items():

        def draw_into(figure, draw=draw):
            return draw(figure, outcome)

        if name == "class_accuracy":  # which the page has as HTML
            outputs[f"{name}.png"], _ = render(draw_into, "light")
        else:
            plots[name] = make_plot(title, draw_into, note)
            outputs[f"{name}.png"] = plots[name].light
    return plots, outputs
