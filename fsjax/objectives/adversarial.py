"""A generator against a critic."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax

from fsjax.objectives.losses import weighted_mean
from fsjax.types import (
    Array,
    Critic,
    Episode,
    Examples,
    Generator,
    Key,
    Metrics,
    Objective,
    Params,
    Step,
)

Draw = Callable[[Params, Episode, Key], Examples]


def gradient_penalty(score: Callable[[Array], Array], between: Array) -> tuple[Array, Array]:
    """How far from one a critic's slope is (Gulrajani et al. 2017,
    https://arxiv.org/abs/1704.00028).

    Args:
      score: rows [B, ...] -> [B], each from its row alone.
      between: [B, ...] rows somewhere between a real and a generated one.

    Returns:
      [B] the penalty (slope - 1)^2, and [B] the slope, the norm of the gradient.
    """
    gradients = jax.grad(lambda rows: score(rows).sum())(between)
    slope = optax.safe_norm(gradients.reshape(len(between), -1), 0.0, axis=1)
    return jnp.square(slope - 1.0), slope


def adversarial(
    generator: Generator, critic: Critic, examples: Draw, *, penalty: float = 10.0
) -> Objective:
    """The losses of a conditional Wasserstein GAN with gradient penalty (Gulrajani et al. 2017,
    https://arxiv.org/abs/1704.00028; of features, Xian et al. 2018,
    https://arxiv.org/abs/1712.00981).

    Generator and critic descend at the same time; `in_turns` lets the critic take several steps
    for each of the generator.

    Args:
      generator: conditions -> rows.
      critic: rows and conditions -> scores.
      examples: params, episode, key -> real rows and their conditions, as they are.
      penalty: weight of the gradient penalty.

    Returns:
      An objective over an Episode without a task axis and parameters that hold "generator" and
      "critic"; gradients of all others are zero. Its metrics are "loss", that of the critic,
      "distance", how much higher the critic scores real rows than generated ones, which estimates
      their Wasserstein distance, and "slope", the mean norm of its gradient, which is near one as
      long as it converges.
    """

    def critic_loss(of_critic: Params, real: Examples, fake: Array, key: Key):
        score = partial(critic.score, of_critic, condition=real.condition)
        share = jax.random.uniform(key, (len(fake), *(1,) * (fake.ndim - 1)))
        far, slope = gradient_penalty(score, share * real.rows + (1 - share) * fake)
        distance = weighted_mean(score(real.rows) - score(fake), real.weight)
        loss = penalty * weighted_mean(far, real.weight) - distance
        return loss, {
            "loss": loss,
            "distance": distance,
            "slope": weighted_mean(slope, real.weight),
        }

    def generator_loss(of_generator: Params, of_critic: Params, real: Examples, key: Key):
        fake = generator.generate(of_generator, real.condition, key)
        return -weighted_mean(critic.score(of_critic, fake, real.condition), real.weight), fake

    def objective(params: Params, episode: Episode, key: Key, step: Step) -> tuple[Params, Metrics]:
        key_examples, key_noise, key_between = jax.random.split(key, 3)
        real = jax.lax.stop_gradient(examples(params, episode, key_examples))
        to_generator, fake = jax.grad(generator_loss, has_aux=True)(
            params["generator"], params["critic"], real, key_noise
        )
        to_critic, metrics = jax.grad(critic_loss, has_aux=True)(
            params["critic"], real, fake, key_between
        )
        zeros = jax.tree.map(jnp.zeros_like, params)
        return zeros | {"generator": to_generator, "critic": to_critic}, metrics

    return objective


def in_turns(
    generator: optax.GradientTransformation,
    critic: optax.GradientTransformation,
    others: optax.GradientTransformation,
    *,
    critic_steps: int = 5,
) -> optax.GradientTransformation:
    """The optimisers of `adversarial` as one.

    Args:
      generator: of the parameters "generator", which moves at every `critic_steps`-th step, sees
        no gradient at any other, and counts its own steps: a rate that falls has to fall faster.
      critic: of the parameters "critic".
      others: of all other parameters.
      critic_steps: steps of the critic for one of the generator.

    Returns:
      The optimiser of parameters that are a dictionary.

    Raises:
      ValueError: if `critic_steps` is not positive.
    """
    if critic_steps < 1:
        raise ValueError(f"the critic takes a step at least, got critic_steps={critic_steps}")

    def due(step: Step) -> Array:
        return step % critic_steps == critic_steps - 1

    turns = {
        "generator": optax.conditionally_mask(generator, due),
        "critic": critic,
        "others": others,
    }
    return optax.partition(turns, lambda params: {k: k if k in turns else "others" for k in params})
