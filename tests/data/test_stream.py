"""Batches come in the order of their steps, from any step on, and errors where they belong."""

import pytest

from fsjax.data.stream import stream


def square(step):
    if step == 7:
        raise ValueError("7.png cannot be read")
    return {"x": step**2}


@pytest.mark.parametrize("ahead", [1, 3])
@pytest.mark.parametrize("first", [0, 4])
def test_in_order_from_any_step_on(first, ahead):
    assert list(stream(square, first, 6, ahead=ahead)) == list(map(square, range(first, 6)))


def test_what_a_step_raises_ends_the_steps_before_it_first():
    batches, seen = stream(square, 5, 9, ahead=2), []
    with pytest.raises(ValueError, match=r"7.png cannot be read"):
        for batch in batches:
            seen.append(batch)
    assert seen == [{"x": 25}, {"x": 36}]


def test_none_ahead():
    with pytest.raises(ValueError, match=r"at least one step .* not 0"):
        stream(square, 0, 1, ahead=0)
