"""Plots have round numbers on their axes."""

import re

from benchmarks.plots import curves, ticks


def test_ticks_are_round_and_lie_on_the_axis() -> None:
    assert ticks(5.5e-07, 20.56, log_across=False) == [5, 10, 15, 20]
    assert ticks(0, 60, log_across=False) == [0, 20, 40, 60]
    assert ticks(3, 6, log_across=True) == [1_000, 10_000, 100_000, 1_000_000]


def test_a_plot_names_its_axes_its_lines_and_round_numbers() -> None:
    drawn = curves("members", "µs", {"any <member>": [(1_000, 5.5), (1_000_000, 12.4)]}, log_across=True)
    said = re.findall(r">([^<>]+)</text>", drawn)
    assert {"members", "µs", "any &lt;member&gt;", "1,000", "1,000,000", "0", "20"} <= set(said)
