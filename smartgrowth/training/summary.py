"""A plan as text: its stages, its cost, its learning rate."""

from smartgrowth.experiment import Experiment
from smartgrowth.optim.rates import make_rate_tables
from smartgrowth.plan import table
from smartgrowth.rendering import terminal_chart


def overview(experiment: Experiment) -> str:
    """Returns the plan's table, and below it what its columns cannot say."""
    config, plan = experiment.config, experiment.plan
    lines = [table(plan)]
    for stage in plan.stages:
        if len(set(stage.sizes)) > 1:
            sizes = ", ".join(map(str, stage.sizes))
            lines.append(
                f"stage {stage.index + 1}: batches at {sizes} px in turn, at "
                "random"
            )
    if config.balance == "oversample":
        counts = experiment.data.class_counts
        lines.append(
            f"classes of {counts.min():,} to {counts.max():,} training images, "
            "each shown as often as the largest active one"
        )
    if config.replay:
        run, fraction = config.replay
        lines.append(
            f"{fraction:.0%} of every batch from the second stage on: of the "
            f"{len(experiment.hard_images):,} training images that {run} got "
            "wrong"
        )
    return "\n".join(lines)


def draw_rates(experiment: Experiment) -> str:
    """Returns the plan's learning rate and momentum, drawn in characters."""
    config, plan = experiment.config, experiment.plan
    peak, unit = config.lr, ""
    if config.finds_rate:
        peak, unit = 1.0, " times the rate that is found"
    tables = make_rate_tables(config, plan, peak)
    begins = [stage.first_step for stage in plan.stages]
    return terminal_chart.rate_chart(tables.rates, tables.momenta, begins, unit)
