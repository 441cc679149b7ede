"""A plan as text: its stages, its cost, its learning rate."""

from smartgrowth import boundaries, growth
from smartgrowth.experiment import Experiment
from smartgrowth.optim.rates import make_rate_tables, rate_scales
from smartgrowth.rendering import terminal_chart
from smartgrowth.rendering.text import shares
from smartgrowth.stages import Plan, Stage


def format_plan(plan: Plan) -> str:
    """Returns the plan as text: a row for each stage, with its cost.

    An axis of growth has a column if something grows along it, some always.
    """
    axes = [
        axis
        for axis in reversed(growth.AXES)
        if axis.always
        or len({getattr(stage, axis.field) for stage in plan.stages}) > 1
    ]
    costs = [plan.gflops_of(stage) for stage in plan.stages]
    open_stages = ()
    if plan.rules and len(plan.decisions) + 1 < len(plan.stages):
        open_stages = plan.stages[len(plan.decisions) :]
    rows = [
        ("stage", *(axis.column or axis.name for axis in axes), "images")
        + (f"{'steps':>7}", "batch", f"{'GFLOPs':>10}", "share")
    ]
    for stage, cost, share in zip(
        plan.stages, costs, shares(costs), strict=True
    ):
        grown = [axis.text(getattr(stage, axis.field)) for axis in axes]
        steps, cost = f"{stage.steps}", f"{cost:,.0f}"
        if stage in open_stages:
            steps, cost, share = _bounds(plan, stage)
        rows.append(
            (f"{stage.index + 1}", *grown, f"{stage.num_images}")
            + (steps, f"{stage.batch_size}", cost, share)
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    total = f"{sum(costs):,.0f} GFLOPs"
    if not open_stages:
        images = plan.images_seen(plan.steps)
        total = f"{plan.steps:,} steps, {images:,} images shown, {total}"
    return "\n".join([*lines, f"total: {total}"])


def _bounds(plan: Plan, stage: Stage) -> list[str]:
    """Returns steps, GFLOPs and share of a stage whose end is not decided."""
    limits = boundaries.bounds(plan)[stage.index]
    units = plan.step_flops(stage), 1e9, plan.budget / 100
    return [
        " to ".join(f"{flops / unit:,.0f}" for flops in limits) + mark
        for unit, mark in zip(units, ("", "", "%"), strict=True)
    ]


def overview(experiment: Experiment) -> str:
    """Returns the plan's table, and below it what its columns cannot say."""
    config, plan = experiment.config, experiment.plan
    lines = [format_plan(plan)]
    if plan.rules and len(plan.decisions) + 1 < len(plan.stages):
        lines.append(
            "within these bounds, where stages end is decided while training "
            "(--grow_when=auto), at one of "
            f"{len(plan.evaluation_steps())} evaluations or more:"
        )
        for stage in plan.stages[len(plan.decisions) : -1]:
            rules = boundaries.rules_of(plan, stage)
            told = " or ".join(boundaries.describe(plan.rules, rules))
            lines.append(f"  stage {stage.index + 1}, {told}")
    for stage in plan.stages:
        if len(set(stage.sizes)) > 1:
            sizes = ", ".join(map(str, stage.sizes))
            lines.append(
                f"stage {stage.index + 1}: batches at {sizes} px in turn, at "
                "random"
            )
    if config.grow_by == "crop":
        lines.append(
            f"smaller images are cut from those of {config.final_size} px, at "
            "random places"
        )
    if config.balance == "oversample":
        counts = experiment.data.class_counts
        lines.append(
            f"classes of {counts.min():,} to {counts.max():,} training images, "
            "each shown as often as the largest active class"
        )
    network, names = experiment.network, experiment.network.group_names
    if config.lr_groups is not None:
        scales = zip(names, rate_scales(config, names), strict=True)
        told = ", ".join(f"{name} {scale:.3g}" for name, scale in scales)
        lines.append(f"learning rate of each layer group, times: {told}")
    frozen = network.trained_groups(plan.stages[0].trainable) != names
    if frozen and not config.init_from:
        lines.append(
            "stage 1 leaves layers at the random weights that they begin with; "
            "--init_from starts from an earlier run"
        )
    for stage in plan.stages:
        if stage.precomputed:
            first = network.trained_groups(stage.trainable)[0]
            lines.append(
                f"stage {stage.index + 1}: trained on what the frozen layers "
                f"before {first} make of the images, computed once"
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
    tables = make_rate_tables(
        config, plan, peak, experiment.network.group_names
    )
    begins = [stage.first_step for stage in plan.stages]
    return terminal_chart.rate_chart(tables.rates, tables.momenta, begins, unit)
