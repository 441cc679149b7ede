"""The drawing of a plan's rate and momentum in characters."""

import io
import types

import numpy as np
import pytest

from smartgrowth.optim import schedules
from smartgrowth.rendering import terminal_chart
from smartgrowth.rendering.terminal_chart import (
    BLOCKS,
    HEIGHT,
    WIDTH,
    rate_chart,
)


@pytest.fixture(params=["utf-8", "ascii"])
def terminal(request, monkeypatch):
    """Standard output that can show block characters, and one that cannot."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=request.param)
    here = types.SimpleNamespace(stdout=stream)
    monkeypatch.setattr(terminal_chart, "sys", here)
    return request.param


def heights(lines):
    """Rows of each column that are filled by more than half, from the left."""
    full = {"#", *BLOCKS[5:]}
    return [
        sum(line.ljust(WIDTH)[column] in full for line in lines)
        for column in range(WIDTH)
    ]


def test_the_curve_is_as_high_as_the_rate_in_every_column(terminal):
    rates = schedules.triangular(0.0, 0.5, 320)(np.arange(1280))
    lines = rate_chart(rates, np.full(1280, 0.9), [0, 640]).splitlines()
    assert lines[0] == "learning rate, 0 to 0.5"
    expected = rates.reshape(WIDTH, -1).mean(axis=1) / 0.5 * HEIGHT
    drawn = heights(lines[1 : 1 + HEIGHT])
    np.testing.assert_allclose(drawn, expected, atol=0.6)
    "".join(lines).encode(terminal)


def test_stages_are_marked_where_they_begin(terminal):
    rates = np.ones(640)
    lines = rate_chart(rates, rates, [0, 10, 20, 320]).splitlines()
    axis, numbers = lines[1 + HEIGHT], lines[2 + HEIGHT]
    mark = axis[0]
    assert [i for i in range(WIDTH) if axis[i] == mark] == [0, 1, 2, 32]
    # Numbers that have no room are left out.
    assert numbers.split() == ["stage", "1", "4"] and numbers.index("4") == 32


def test_momentum_is_drawn_only_if_it_changes():
    rates = np.linspace(1, 2, 100)
    constant = rate_chart(rates, np.full(100, 0.95), [0])
    assert "momentum 0.95 throughout" in constant
    cycled = rate_chart(rates, np.linspace(0.95, 0.85, 100), [0]).splitlines()
    place = cycled.index("momentum, 0.85 to 0.95")
    drawn = heights(cycled[place + 1 : place + 1 + HEIGHT // 2])
    assert drawn[0] == HEIGHT // 2 > drawn[-1] > 0
    assert len(cycled) > len(constant.splitlines())


def test_a_plan_of_few_steps_has_a_column_a_step():
    lines = rate_chart(np.array([0.1, 0.2]), np.full(2, 0.9), [0]).splitlines()
    assert max(map(len, lines[1 : 1 + HEIGHT])) == 2


def test_a_rate_yet_to_be_found_is_the_unit():
    text = rate_chart(np.array([0.5, 1]), np.ones(2), [0], " times what is")
    assert "learning rate, 0.5 to 1 times what is" in text
