"""Generators of small pictures and what judges them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import build
from experiments.configs.emoji import get_config
from fsjax.encoders.convolution import conv3x3_stride2
from fsjax.encoders.layers import Conv3x3
from fsjax.generators import critic, generator
from fsjax.generators.pictures import PictureCritic, PictureGenerator
from fsjax.objectives.adversarial import gradient_penalty
from fsjax.types import Condition, Examples

RNG = np.random.default_rng(0)
KEY = jax.random.key(0)
HALVE = partial(Conv3x3, convolve=conv3x3_stride2)
DRAW = generator(PictureGenerator(Conv3x3, HALVE, width=2), noise=3)
JUDGE = critic(PictureCritic(HALVE, width=2))


def examples_of(*shape: int) -> Examples:
    rows, prototype = jnp.array(RNG.uniform(-1, 1, size=(2, 3, *shape)), jnp.float32)
    side = jnp.array(RNG.normal(size=(3, 2)), jnp.float32)
    return Examples(rows, Condition(prototype, side), jnp.ones(3))


def shaken(params):
    return jax.tree.map(lambda p: p + 0.1 * jnp.sin(jnp.arange(p.size)).reshape(p.shape), params)


@pytest.mark.parametrize("shape", [(28, 28, 1), (32, 32, 3), (64, 64, 3), (9, 20, 2)])
def test_pictures_are_of_the_size_of_the_prototypes(shape):
    examples = jax.eval_shape(lambda: examples_of(*shape))
    params = jax.eval_shape(DRAW.init, KEY, examples)
    assert jax.eval_shape(DRAW.generate, params, examples.condition, KEY).shape == (3, *shape)
    params = jax.eval_shape(JUDGE.init, KEY, examples)
    scores = jax.eval_shape(JUDGE.score, params, examples.rows, examples.condition)
    assert scores.shape == (3,)


def test_no_picture_of_no_class():
    examples = examples_of(9, 9, 1)
    params = jax.eval_shape(DRAW.init, KEY, examples)
    none = jax.tree.map(lambda x: x[:0], examples.condition)
    assert jax.eval_shape(DRAW.generate, params, none, KEY).shape == (0, 9, 9, 1)


def test_maps_are_halved_to_eight_pixels_to_draw_and_to_four_to_judge():
    examples = jax.eval_shape(lambda: examples_of(64, 64, 3))
    drawn, judged = (jax.eval_shape(part.init, KEY, examples) for part in (DRAW, JUDGE))
    assert len(drawn["Halvings_0"]) == 3 and drawn["Dense_0"]["bias"].shape == (8 * 8 * 8,)
    assert len(judged["Halvings_0"]) == 4
    assert judged["Perceptron_0"]["Dense_0"]["kernel"].shape[0] == 4 * 4 * 8 + 2


@pytest.fixture(scope="module")
def drawn():
    examples = examples_of(9, 9, 1)
    params = shaken(jax.jit(DRAW.init)(KEY, examples))
    return examples.condition, jax.jit(partial(DRAW.generate, params))


def test_pictures_stay_in_the_range_of_real_ones(drawn):
    condition, generate = drawn
    made = generate(condition._replace(prototype=jnp.sign(condition.prototype)), KEY)
    assert np.abs(made).max() <= 1 and np.abs(made).max(axis=(1, 2, 3)).min() > 0.5


def test_pictures_depend_on_noise_prototype_and_side_each_on_its_own(drawn):
    condition, generate = drawn
    made = generate(condition, KEY)
    others = (
        (jax.random.key(1), condition, range(3)),
        (KEY, condition._replace(side=condition.side.at[1].add(1.0)), [1]),
        (KEY, condition._replace(prototype=condition.prototype.at[2].multiply(-1.0)), [2]),
    )
    for key, other, which in others:
        apart = np.abs(generate(other, key) - made).max(axis=(1, 2, 3))
        np.testing.assert_array_equal(np.flatnonzero(apart > 1e-3), which)
        assert not np.any(np.delete(apart, which))


def test_an_eighth_of_a_picture_is_drawn_anew_at_first():
    examples = examples_of(9, 9, 1)
    params = jax.jit(DRAW.init)(KEY, examples)
    params["Conv3x3_0"]["kernel"] *= 0.0
    made = jax.jit(DRAW.generate)(params, examples.condition, KEY)
    kept = 1 - 1 / (1 + np.exp(2.0))
    np.testing.assert_allclose(made, kept * examples.condition.prototype, rtol=1e-4, atol=1e-6)


def test_each_picture_is_judged_alone_beside_its_own_class():
    examples = examples_of(9, 9, 1)
    params = jax.jit(JUDGE.init)(KEY, examples)
    judge = jax.jit(partial(JUDGE.score, params))
    scores = judge(examples.rows, examples.condition)
    prototype, side = examples.condition
    changed = (
        judge(examples.rows.at[0].add(1.0), examples.condition),
        judge(examples.rows, Condition(prototype.at[1].add(1.0), side)),
        judge(examples.rows, Condition(prototype, side.at[2].add(1.0))),
    )
    for row, other in enumerate(changed):
        np.testing.assert_array_equal(np.flatnonzero(np.abs(other - scores) > 1e-4), [row])


def test_the_gradient_of_the_penalty_through_convolutions_is_that_of_differences():
    with jax.enable_x64(True):
        wide = partial(jax.tree.map, lambda x: jnp.asarray(x, jnp.float64))
        examples = wide(examples_of(5, 5, 1))
        params = wide(shaken(jax.jit(JUDGE.init)(KEY, examples)))
        direction = jax.tree.map(lambda x: jnp.asarray(RNG.normal(size=x.shape)), params)

        @jax.jit
        @jax.value_and_grad
        def penalty(t):
            moved = jax.tree.map(lambda p, d: p + t * d, params, direction)
            score = partial(JUDGE.score, moved, condition=examples.condition)
            return gradient_penalty(score, examples.rows)[0].sum()

        expected = (penalty(1e-6)[0] - penalty(-1e-6)[0]) / 2e-6
        np.testing.assert_allclose(penalty(0.0)[1], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("learner", "name", "shape"),
    [("hallucinate", "wgan", (9, 9, 1)), ("pictures", "wgan_pictures", (4,))],
)
def test_rows_of_another_rank_are_refused(learner, name, shape):
    config = get_config()
    config.learner, config.generation.generator = learner, name
    with pytest.raises(ValueError, match="the prototypes are"):
        jax.eval_shape(build.generator(config).init, KEY, examples_of(*shape))
