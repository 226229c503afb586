"""Prototypes that are the less certain the fewer rows they are the mean of."""

import jax.numpy as jnp

from fsjax.heads.distances import squared_euclidean
from fsjax.heads.prototype import class_means, typical_distance, within_classes
from fsjax.types import Head


def predictive(*, temperature: float = 0.1, prior: float = 0.5) -> Head:
    """Classifies by the posterior predictive density of each class, as probabilistic LDA with
    spherical covariances (Ioffe 2006, https://doi.org/10.1007/11744085_41).

    Rows of a class are of N(m, s I) and its mean m of N(m0, s / k I), with m0 the mean of the
    class means of the support set. After n rows of mean x, a query is of

        N((n x + k m0) / (n + k), s (1 + 1 / (n + k)) I)

    so that a class of few rows is wide, and one of none is all that is not another. With k near
    zero and equally many rows of each class it decides as a prototypical network.

    I is of fewer dimensions than there are features, as these vary together. Rows lie s times the
    number of dimensions from their class mean, in squares: it is estimated from the support set
    where a class has several rows, beside a learned one worth a row more. Training on classes of
    equally many rows cannot learn it, as it then adds the same to all logits.

    Args:
      temperature: initial value of the learned 2 s, as that of `fsjax.heads.prototype.prototype`.
      prior: of the learned k, the rows that m0 counts as.

    Returns:
      The head; logits are log densities, and the task is the means [W, D], n + k [W] and the
      number of dimensions [].

    Raises:
      ValueError: if the temperature or the prior is not positive.
    """
    if min(temperature, prior) <= 0:
        raise ValueError(f"temperature and prior must be positive, got {temperature} and {prior}")

    def init(key, z, y):
        # A row is temperature^-1 variances away from another: so many dimensions there are.
        return {
            "log_temperature": jnp.log(temperature * typical_distance(squared_euclidean, z, y)),
            "log_prior": jnp.log(jnp.asarray(prior)),
            "log_dimensions": jnp.log(jnp.asarray(1 / temperature)),
        }

    def fit(params, z, y):
        means, count, rows = class_means(z, y), y.sum(0)[:, None], jnp.exp(params["log_prior"])
        middle = means.sum(0) / jnp.maximum((count > 0).sum(), 1)
        within, freedom = within_classes(z, y, means)
        found = 2 * within * jnp.exp(-params["log_temperature"])
        dimensions = (jnp.exp(params["log_dimensions"]) + found) / (1 + freedom)
        return (count * means + rows * middle) / (count + rows), count[:, 0] + rows, dimensions

    def score(params, task, z):
        means, rows, dimensions = task
        width = 1 + 1 / rows
        distances = squared_euclidean(z, means) * jnp.exp(-params["log_temperature"])
        return -distances / width - dimensions / 2 * jnp.log(width)

    return Head(init, fit, score)
