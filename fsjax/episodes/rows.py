"""Single rows of all classes of a pool, for training that knows no episodes."""

import jax
import jax.numpy as jnp

from fsjax.episodes import flat
from fsjax.types import Array, Key, Labelled, Pool, Source


def sample_rows(key: Key, pool: Pool, *, rows: int) -> Labelled:
    """Draws rows: a class for each, and of that class one row from every source.

    All draws are uniform and with replacement, so that no class weighs more for having more rows.

    Args:
      key: a random key; the rows are a function of it.
      pool: the rows of one split, of C classes.
      rows: B.

    Returns:
      The inputs [B, ...] and the classes as one-hot targets [B, C].
    """
    key_classes, key_rows = jax.random.split(key)
    num_classes = next(iter(pool.sources.values())).count.shape[0]
    classes = jax.random.randint(key_classes, (rows,), 0, num_classes)
    u = flat.uniform(key_rows, (len(pool.sources), rows))

    def draw(source: Source, u: Array):
        # Rounding may bring u * count up to count itself.
        count = source.count[classes]
        place = jnp.minimum((u * count).astype(jnp.int32), count - 1)
        chosen = source.index[classes, place]
        return jax.tree.map(lambda x: x[chosen], source.inputs)

    # By name: a dictionary that has been through jit comes back in that order.
    drawn = [draw(pool.sources[name], u[i]) for i, name in enumerate(sorted(pool.sources))]
    values = {m: x for inputs in drawn for m, x in inputs.values.items()}
    present = {m: x for inputs in drawn for m, x in inputs.present.items()}
    return Labelled(type(drawn[0])(values, present), jax.nn.one_hot(classes, num_classes))
