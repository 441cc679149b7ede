"""A plan as text: its stages, its cost, its learning rate."""

from smartgrowth.config import Config
from smartgrowth.curriculum.choose import hard_images
from smartgrowth.data.store import Data
from smartgrowth.optim.rates import make_tables
from smartgrowth.plan import Plan, table
from smartgrowth.rendering import terminal_chart


def rate_drawing(config: Config, plan: Plan) -> str:
    """Learning rate and momentum of the whole plan, in characters."""
    rate, unit = config.lr, ""
    if config.finds_rate:
        rate, unit = 1.0, " times the rate that is found"
    rates, momenta = make_tables(config, plan, rate)
    begins = [stage.first_step for stage in plan.stages]
    return terminal_chart.rate_chart(rates, momenta, begins, unit)


def overview(config: Config, plan: Plan, data: Data) -> str:
    """A plan's table, and below it what its columns cannot say."""
    lines = [table(plan)]
    for stage in plan.stages:
        if len(set(stage.sizes)) > 1:
            sizes = ", ".join(map(str, stage.sizes))
            lines.append(
                f"stage {stage.index + 1}: batches at {sizes} px in turn, at "
                "random"
            )
    if config.balance == "oversample":
        counts = data.class_counts
        lines.append(
            f"classes of {counts.min():,} to {counts.max():,} training images, "
            "each shown as often as the largest that has entered"
        )
    if config.replay:
        run, fraction = config.replay
        count = len(hard_images(config, data))
        lines.append(
            f"{fraction:.0%} of every batch from the second stage on: of the "
            f"{count:,} training images that {run} got wrong"
        )
    return "\n".join(lines)
