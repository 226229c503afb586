"""Tasks whose best possible accuracy is known: Gaussian classes seen through modalities."""

from collections.abc import Mapping
from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.special import betainc

from fsjax.types import Array, Episode, Inputs, Key, Support


def gaussian_episode(
    key: Key,
    *,
    scales: Mapping[str, float],
    dimensions: int,
    nuisances: int,
    spread: float,
    shots: int,
    queries: int,
) -> Episode:
    """Draws a two-way episode of fresh Gaussian classes.

    In every modality a class has a mean from N(0, spread^2) in each of `dimensions` features
    and its rows lie around it with variance one; `nuisances` further features are noise of
    standard deviation 3; then all features are multiplied by the modality's scale, so that a
    fusion must weigh the modalities before it compares rows.

    Args:
      key: a random key.
      scales: modality -> factor of its features.
      dimensions: informative features of each modality.
      nuisances: features of each modality that tell nothing.
      spread: standard deviation of the class means; the noise has one.
      shots: K, support rows of a class.
      queries: query rows of a class.

    Returns:
      The episode, modalities [S, dimensions + nuisances] and [Q, dimensions + nuisances].
    """
    ways, per_class = 2, shots + queries
    # One call for all numbers: each call of the generator adds seconds of compilation.
    shape = (len(scales), ways, 1 + per_class, dimensions + nuisances)
    drawn = jax.random.normal(key, shape)
    mean, noise = spread * drawn[:, :, :1, :dimensions], drawn[:, :, 1:]
    signal = mean + noise[..., :dimensions]
    rows = jnp.concatenate([signal, 3.0 * noise[..., dimensions:]], axis=-1)
    scaled = {name: scales[name] * x for name, x in zip(sorted(scales), rows, strict=True)}
    eye = jnp.eye(ways)

    def inputs(part: slice, count: int) -> Inputs:
        values = {m: x[:, part].reshape(ways * count, x.shape[-1]) for m, x in scaled.items()}
        return Inputs(values, {m: jnp.ones(ways * count) for m in values})

    support = inputs(slice(None, shots), shots)
    return Episode(
        Support(support, jnp.repeat(eye, shots, 0), Inputs({}, {})),
        inputs(slice(shots, None), queries),
        jnp.repeat(eye, queries, 0),
    )


def bayes_accuracy(*, dimensions: int, spread: float, shots: int) -> Array:
    """The best possible accuracy in `gaussian_episode`, for the informative features in all.

    The posterior mean of a class is c m with m its support mean and c = t / (t + 1/K), where
    t = spread^2; the best rule says class 1 if a.b > 0 with a = x - c (m1 + m2) / 2 and
    b = m1 - m2. In each feature a and b are normal with correlation r, from
      cov(a, b) = t,   var(a) = t + 1 - c t / 2,   var(b) = 2 (t + 1/K),
    and with u, v the standardised a, b: 4 u.v = |u + v|^2 - |u - v|^2, a difference of
    independent chi squares with factors 2 (1 + r) and 2 (1 - r). Hence
      P(a.b > 0) = P(F > (1 - r) / (1 + r)) = I_{(1 + r) / 2}(D / 2, D / 2),
    with F of D and D degrees of freedom and I the regularised incomplete beta function.

    Args:
      dimensions: D, informative features of all modalities present, added up.
      spread: standard deviation of the class means.
      shots: K.

    Returns:
      [] the accuracy, in 0..1.
    """
    return _accuracy(dimensions, spread, shots, shrunk=spread**2 / (spread**2 + 1 / shots))


def prototype_accuracy(*, dimensions: int, spread: float, shots: int) -> Array:
    """The accuracy of the nearest class mean in the informative features, c = 1 in the above.

    Args and Returns as in `bayes_accuracy`.
    """
    return _accuracy(dimensions, spread, shots, shrunk=1.0)


@partial(jax.jit, static_argnames=("dimensions", "shots"))
def _accuracy(dimensions: int, spread: float, shots: int, shrunk: float) -> Array:
    t = spread**2
    # var(x - c s / 2) with s = m1 + m2: cov(x, s) = t and var(s) = 2 (t + 1 / K).
    var_a = t + 1.0 - shrunk * t + shrunk**2 * (t + 1.0 / shots) / 2.0
    r = t / jnp.sqrt(var_a * 2.0 * (t + 1.0 / shots))
    return betainc(dimensions / 2.0, dimensions / 2.0, (1.0 + r) / 2.0)
