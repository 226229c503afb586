"""Sums of objectives."""

import jax
import jax.numpy as jnp

from fsjax.objectives.combined import only, together

KEY, STEP = jax.random.key(0), jnp.zeros((), jnp.int32)


def pull(name, target):
    def objective(params, batch, key, step):
        gradients = {k: jnp.zeros_like(x) for k, x in params.items()}
        difference = params[name] - target
        return gradients | {name: difference}, {"loss": difference**2 / 2, "far": difference}

    return objective


PARAMS = {"a": jnp.array(1.0), "b": jnp.array(3.0)}


def test_gradients_and_losses_are_weighted_sums_and_figures_keep_their_names():
    both = together({"one": pull("a", 0.0), "other": pull("b", 1.0)}, {"other": 10.0})
    gradients, metrics = jax.jit(both)(PARAMS, None, KEY, STEP)
    assert gradients == {"a": 1.0, "b": 20.0}
    assert metrics["loss"] == 0.5 + 10 * 2.0
    assert metrics["one_loss"] == 0.5 and metrics["other_far"] == 2.0


def test_each_draws_from_a_key_of_its_own():
    seen = []

    def draws(params, batch, key, step):
        seen.append(int(jax.random.bits(key)))
        return params, {"loss": 0.0}

    together({"one": draws, "other": draws}, {})(PARAMS, None, KEY, STEP)
    assert seen[0] != seen[1]


def test_what_is_not_named_does_not_move():
    both = together({"one": pull("a", 0.0), "other": pull("b", 1.0)}, {})
    gradients, metrics = only(("b",), both)(PARAMS, None, KEY, STEP)
    assert gradients == {"a": 0.0, "b": 2.0} and metrics["one_loss"] == 0.5
