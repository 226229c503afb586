"""How costs along an axis are told."""

import sys

import pytest

from experiments.benchmarks import growth
from experiments.benchmarks.growth import AXES, Axis, measure, page, power


def test_the_power_is_that_of_the_last_step():
    assert power({1: 9.0, 2: 5.0, 4: 10.0}) == pytest.approx(1.0)
    assert power({1: 1.0, 2: 4.0}) == pytest.approx(2.0)
    assert power({50: 3.0, 200: 3.0}) == pytest.approx(0.0)


def test_each_value_is_measured_by_its_own_work(monkeypatch):
    monkeypatch.setattr(growth, "median", lambda work, parts: (work(), parts))
    found = measure(Axis((3, 5), lambda value: lambda: value))
    assert found == {3: (3, growth.STEPS), 5: (5, growth.STEPS)}


def test_the_page_has_a_figure_for_each_axis():
    text = page({name: {1: 2.0, 2: 4.0} for name in AXES})
    assert text.count("<svg") == len(AXES)
    assert all(f"by {name}; at the end as their power 1.00" in text for name in AXES)


def test_an_axis_that_there_is_not_names_the_nearest(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["growth", "--only", "way"])
    with pytest.raises(ValueError, match="ways"):
        growth.main()
