"""What each modality is worth in an episode."""

import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.evaluation.episodic import episode_logits
from fsjax.evaluation.figures import Figure, accuracy, negative_log_likelihood
from fsjax.types import Array, Episode, Inputs, Learner, Params

MOST = 5  # modalities, of which 32 subsets are tried


class Attribution(NamedTuple):
    """Figures of an episode, attributed to modalities."""

    shapley: dict[str, Array]  # modality -> [], adding up to full - empty
    leave_one_out: dict[str, Array]  # modality -> [], what is lost without it
    full: Array  # [] the figure with every modality
    empty: Array  # [] the figure without any


def attribute(
    learner: Learner, params: Params, episode: Episode, *, figure: Figure = accuracy
) -> Attribution:
    """Shapley values of modalities, exact over all subsets, and what each alone is missed for.

    The worth of a set of modalities is the figure of the episode of which all others are hidden,
    in support and query (Shapley 1953, https://doi.org/10.1515/9781400881970-018; as in Lundberg &
    Lee 2017, https://arxiv.org/abs/1705.07874). With v the worth of sets of M modalities,
      phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! (v(S + m) - v(S)).

    Args:
      learner: the few-shot method; rows without any modality must not break it.
      params: its parameters.
      episode: without a task axis.
      figure: of logits and targets; larger is better.

    Returns:
      The values of each modality.

    Raises:
      ValueError: if there are more than five modalities.
    """
    names = sorted(episode.query.values)
    if len(names) > MOST:
        raise ValueError(
            f"Shapley values of {len(names)} modalities take {2 ** len(names)} subsets; "
            f"attribute {MOST} modalities at most"
        )
    subsets = all_subsets(len(names))

    def worth(subset: Array) -> Array:
        logits = episode_logits(learner, params, _seen(episode, names, subset))
        return figure(logits, episode.targets)

    worths = jax.vmap(worth)(jnp.asarray(subsets, jnp.float32))  # of none first, of all last
    weights = jnp.asarray(shapley_weights(len(names)), jnp.float32)
    shapley = jnp.matmul(weights, worths, precision="highest")
    # The first name is the highest binary digit of a subset's place.
    without = worths[-1 - 2 ** np.arange(len(names))[::-1]]
    each = (dict(zip(names, values, strict=True)) for values in (shapley, worths[-1] - without))
    return Attribution(*each, worths[-1], worths[0])


def log_probability(logits: Array, targets: Array) -> Array:
    """Mean log probability of the targets: logits, targets [Q, W] -> [] in nats."""
    return -negative_log_likelihood(logits, targets)


def _seen(episode: Episode, names: list[str], subset: Array) -> Episode:
    def of(inputs: Inputs) -> Inputs:
        kept = {m: inputs.present[m] * subset[i] for i, m in enumerate(names)}
        return inputs._replace(present={**inputs.present, **kept})

    support = episode.support._replace(inputs=of(episode.support.inputs))
    return episode._replace(support=support, query=of(episode.query))


def all_subsets(number: int) -> np.ndarray:
    """[2^M, M] of zeros and ones, which count up as binary numbers do: none first, all last."""
    return np.array(list(itertools.product((0, 1), repeat=number)))


def shapley_weights(number: int) -> np.ndarray:
    """[M, 2^M], how the worth of each of `all_subsets` counts in the value of each member."""
    subsets = all_subsets(number)
    others = subsets.sum(1)[:, None] - subsets
    weights = [math.factorial(n) * math.factorial(number - 1 - n) for n in range(number)]
    signs = np.where(subsets > 0, 1, -1)
    return (signs * np.array(weights)[others] / math.factorial(number)).T
