"""Batches come in the order of their steps, from any step on, and errors where they belong."""

import numpy as np
import pytest

from fsjax.data.stream import stream


def square(step):
    if step == 7:
        raise ValueError("7.png cannot be read")
    return {"x": np.array(step**2)}


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("first", [0, 4])
def test_in_order_from_any_step_on(first, ahead):
    found = list(stream(square, first, 6, ahead=ahead, together=2))
    assert [batch["x"].tolist() for batch in found] == [
        [i**2, (i + 1) ** 2] for i in range(first, 6, 2)
    ]


def test_what_a_step_raises_ends_the_steps_before_it_first():
    batches, seen = stream(square, 5, 9, ahead=2), []
    with pytest.raises(ValueError, match=r"7.png cannot be read"):
        for batch in batches:
            seen.append(int(batch["x"][0]))
    assert seen == [25, 36]


@pytest.mark.parametrize(
    ("how", "message"),
    [({"ahead": 0}, "at least one step"), ({"together": 2}, "3 steps cannot be given in equal")],
)
def test_what_cannot_be(how, message):
    with pytest.raises(ValueError, match=message):
        stream(square, 0, 3, **how)
