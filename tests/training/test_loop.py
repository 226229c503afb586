"""The loop between chunks: what hooks see, and when a run stops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from fsjax.training.loop import Diverged, has_ended, keep_best, run, stop_if_diverged
from fsjax.training.state import init_state

FRESH = init_state(jax.random.key(0), {"w": jnp.zeros(2)}, optax.sgd(0.1))


def chunk(state, steps):
    """Adds one to w in each step; the loss is the number of the step."""
    first = int(state.step)
    params = {"w": state.params["w"] + steps}
    metrics = {"loss": np.arange(first, first + steps, dtype=np.float32)}
    return state._replace(params=params, step=state.step + steps), metrics


def broken_at(step, value=np.nan, params=1.0):
    def broken(state, steps):
        state, metrics = chunk(state, steps)
        metrics["loss"][metrics["loss"] >= step] = value
        return state._replace(params={"w": state.params["w"] * params}), metrics

    return broken


def trained(hooks=(), chunk=chunk, num_steps=20, chunk_steps=5, **options):
    return run(
        FRESH, chunk=chunk, num_steps=num_steps, chunk_steps=chunk_steps, hooks=hooks, **options
    )


def measured_as(figures):
    """keep_best with given figures one after another, and what it records."""
    figures, records = iter(figures), []
    hook = keep_best(
        lambda state: ({"w": state.params["w"] + 0.5}, next(figures)),
        lambda step, figure: records.append((step, figure)),
    )
    return hook, records


def test_hooks_are_called_in_order_after_each_chunk_and_what_they_return_goes_on():
    seen = []

    def first(state, metrics):
        seen.append(("first", int(state.step), metrics["loss"].tolist()))
        return state._replace(params={"w": -state.params["w"]})

    def second(state, metrics):
        seen.append(("second", int(state.step), float(state.params["w"][0])))
        return state

    state = trained([first, second], num_steps=5, chunk_steps=2)
    assert seen == [
        ("first", 2, [0.0, 1.0]),
        ("second", 2, -2.0),
        ("first", 4, [2.0, 3.0]),
        ("second", 4, 0.0),
        ("first", 5, [4.0]),
        ("second", 5, -1.0),
    ]
    assert int(state.step) == 5 and float(state.params["w"][0]) == -1.0


def test_a_run_that_has_done_its_steps_takes_none():
    state = trained([pytest.fail], num_steps=0)
    assert state is FRESH


def test_patience_stops_after_so_many_validations_without_improvement():
    hook, records = measured_as([0.5, 0.4, 0.6, 0.6, 0.1, 0.9])
    state = trained([hook], num_steps=100, patience=2)
    assert has_ended(state, 100, 2) and not has_ended(state, 100, 3)
    assert [step for step, _ in records] == [5, 10, 15, 20, 25]
    assert (int(state.best.step), int(state.best.misses), int(state.step)) == (15, 2, 25)
    assert trained([pytest.fail], num_steps=100, patience=0) is FRESH


def test_without_patience_a_run_goes_to_its_end():
    hook, records = measured_as([0.5, 0.4, 0.3, 0.2])
    state = trained([hook])
    assert int(state.step) == 20 and int(state.best.misses) == 3
    assert records == [(5, 0.5), (10, 0.4), (15, 0.3), (20, 0.2)]


def test_the_best_are_the_parameters_as_validated_at_the_best_figure():
    hook, _ = measured_as([0.5, 0.7, 0.7, 0.6])
    best = trained([hook]).best
    assert int(best.step) == 10 and float(best.figure) == pytest.approx(0.7)
    np.testing.assert_array_equal(best.params["w"], [10.5, 10.5])


def test_a_figure_that_is_not_a_number_is_never_the_best():
    hook, _ = measured_as([np.nan, 0.3, np.nan, np.nan])
    best = trained([hook]).best
    assert (int(best.step), int(best.misses)) == (10, 2)


def test_a_best_has_the_types_of_a_fresh_one():
    hook, _ = measured_as([0.5, 0.4])
    best = trained([hook], num_steps=10).best
    types = [jax.tree.map(lambda x: (x.shape, x.dtype), b) for b in (best, FRESH.best)]
    assert types[0] == types[1]


@pytest.mark.parametrize("step", [0, 4, 5, 7, 19])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_run_that_diverged_names_the_step_and_saves_nothing_after(step, value):
    saved = []

    def save(state, metrics):
        saved.append(int(state.step))
        return state

    with pytest.raises(Diverged, match=rf"the loss became {value} at step {step};"):
        trained([stop_if_diverged, save], broken_at(step, value))
    assert saved == list(range(5, step + 1, 5))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_parameters_that_are_not_finite_are_not_saved_though_the_loss_still_was(value):
    with pytest.raises(Diverged, match="parameter"):
        trained([stop_if_diverged, pytest.fail], broken_at(100, params=value))


def test_finite_runs_do_not_diverge():
    assert int(trained([stop_if_diverged]).step) == 20


def test_what_is_kept_lies_on_the_devices_of_what_was():
    everywhere = NamedSharding(Mesh(jax.devices(), ("tasks",)), P())
    state = jax.device_put(FRESH, everywhere)
    hook = keep_best(lambda state: (state.params, 0.5), lambda step, figure: None)
    kept = hook(state, {}).best
    assert kept.figure == 0.5 and {x.sharding for x in jax.tree.leaves(kept)} == {everywhere}


def test_what_is_kept_lies_on_both_devices(on_devices):
    on_devices(2, f"{__file__}::test_what_is_kept_lies_on_the_devices_of_what_was")
