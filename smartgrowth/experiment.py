"""All that a run is before it has a directory or a device."""

import numpy as np

from smartgrowth.config import Config
from smartgrowth.curriculum.choose import class_order
from smartgrowth.data.store import Data
from smartgrowth.models.network import Network
from smartgrowth.plan import Plan, make_network, make_plan


def plan_run(config: Config, data: Data) -> tuple[Plan, Network, np.ndarray]:
    """The plan of `config` on `data`, its network, and its class order."""
    network = make_network(config, len(data.class_names))
    classes = class_order(config, data)
    counts = data.class_counts[classes].tolist()
    return make_plan(config, counts, network), network, classes
