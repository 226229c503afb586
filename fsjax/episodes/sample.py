"""The dealer: episodes drawn on the device, each from one key."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fsjax.episodes import flat
from fsjax.types import Array, Episode, Inputs, Key, Pool, Source, Support


class Places(NamedTuple):
    """Rows of a class that were drawn."""

    place: Array  # [K] positions among the rows of the class
    found: Array  # [K] bool; False where there was no row left to draw


Draw = Callable[..., tuple[Places, Places]]  # (u [3, P], valid [P], group [P], shots, queries)


def draw_rows(
    u: Array, valid: Array, group: Array, shots: int, queries: int
) -> tuple[Places, Places]:
    """Draws the rows of one class without replacement, whatever their groups.

    Args:
      u: [3, P] independent uniform numbers in [0, 1), all the randomness there is.
      valid: [P] bool, the rows that exist.
      group: [P] int32, ignored.
      shots: K, support rows.
      queries: query rows.

    Returns:
      The support rows [K] and the query rows [queries].
    """
    del group
    place, found = _draw(u[0], valid, shots + queries)
    return Places(place[:shots], found[:shots]), Places(place[shots:], found[shots:])


def draw_apart(
    u: Array, valid: Array, group: Array, shots: int, queries: int
) -> tuple[Places, Places]:
    """Draws the rows of one class so that support and query share no group.

    The groups that serve the support are drawn uniformly among all subsets that leave enough
    rows on both sides; then rows are drawn uniformly on each side.

    Args and Returns as in `draw_rows`.
    """
    same = (group[:, None] == group) & valid[:, None] & valid
    leader = jnp.argmax(same, axis=1)
    size = jnp.where(valid & (leader == jnp.arange(len(valid))), same.sum(1), 0)
    serves = _draw_subset(u[2], size, shots, valid.sum() - queries)[leader]
    return _draw(u[0], valid & serves, shots), _draw(u[1], valid & ~serves, queries)


def _draw(u: Array, chosen: Array, count: int) -> Places:
    # top_k and not a sort: XLA compiles it several times faster.
    largest, place = jax.lax.top_k(jnp.where(chosen, u, -1.0), min(count, len(u)))
    beyond = (0, max(count - len(u), 0))
    return Places(jnp.pad(place, beyond), jnp.pad(largest >= 0, beyond))


def _draw_subset(u: Array, size: Array, low: int, high: Array) -> Array:
    """A subset of items, uniform among those whose sizes add up to low..high; empty items are out.

    With n_i(s) the number of ways in which items i, i+1 ... bring a sum s into low..high,
    n_i(s) = n_{i+1}(s) + n_{i+1}(s + size_i), and item i joins with probability
    n_{i+1}(s + size_i) / n_i(s). Logarithms keep many items from overflowing.
    """
    sums = jnp.arange(len(size) + 1)
    allowed = (sums >= low) & (sums <= high)

    def joined(ways, s, item):
        return jnp.where((item > 0) & (s + item < len(sums)), ways[s + item], -jnp.inf)

    def count(ways, item):
        return jnp.logaddexp(ways, joined(ways, sums, item)), ways

    _, later = jax.lax.scan(count, jnp.where(allowed, 0.0, -jnp.inf), size, reverse=True)

    def choose(s, step):
        item, ways, u = step
        joins = jnp.log(u) - jnp.log1p(-u) < joined(ways, s, item) - ways[s]
        return s + jnp.where(joins, item, 0), joins

    return jax.lax.scan(choose, jnp.zeros_like(size, shape=()), (size, later, u))[1]


def sample_episode(
    key: Key,
    pool: Pool,
    *,
    ways: int,
    shots: int | tuple[int, int],
    queries: int,
    draw: Draw = draw_rows,
) -> Episode:
    """Draws one episode: classes, then the rows of each class from every source.

    No class and, within a class, no row repeats; sources are drawn independently of each other.
    Where a class has too few rows in a source, its support rows beyond them are padding, and
    queries beyond them have all-zero targets; `fsjax.data.pool.check_episodes` refuses such.

    Args:
      key: a random key; the episode is a function of it.
      pool: the rows of one split.
      ways: W, classes of the episode.
      shots: K, support rows of a class, or (low, high): a number drawn per class, the rows
        padded to high.
      queries: query rows of a class.
      draw: how the rows of a class are drawn: `draw_rows`, or `draw_apart`, which keeps the
        groups of support and query apart.

    Returns:
      The episode: S = W * high support rows and Q = W * queries query rows, class by class.

    Raises:
      ValueError: if the pool has fewer classes than ways, or shots are out of order or negative.
    """
    key_classes, key_rows, key_shots = jax.random.split(key, 3)
    num_classes = next(iter(pool.sources.values())).count.shape[0]
    if ways > num_classes:
        raise ValueError(f"{ways} ways asked of a pool of {num_classes} classes; ask for fewer")
    classes = jax.lax.top_k(jax.random.uniform(key_classes, (num_classes,)), ways)[1]
    low, high = (shots, shots) if np.ndim(shots) == 0 else shots
    if not 0 <= low <= high:
        raise ValueError(f"shots are a number or (low, high), low first, and not {shots}")

    # By name: a dictionary that has been through jit comes back in that order.
    sources = [pool.sources[name] for name in sorted(pool.sources)]
    of_class = [_rows_of(source, classes) for source in sources]
    # All sources in one draw, padded to the longest: it compiles once and not once for each.
    index, valid, group = map(_stack_padded, zip(*of_class, strict=True))
    u = flat.uniform(key_rows, (*valid.shape[:2], 3, valid.shape[2]))
    each = jax.vmap(jax.vmap(lambda u, v, g: draw(u, v, g, high, queries)))
    drawn = each(u, valid, group)
    support, query = (
        _gather(sources, jnp.take_along_axis(index, rows.place, axis=2)) for rows in drawn
    )
    given, asked = (rows.found.all(0) for rows in drawn)
    given &= jax.random.randint(key_shots, (ways, 1), low, high + 1) > jnp.arange(high)
    eye = jnp.eye(ways)
    side = jax.tree.map(lambda x: x[classes], pool.side)
    return Episode(
        Support(support, jnp.repeat(eye, high, 0) * given.reshape(-1, 1), side),
        query,
        jnp.repeat(eye, queries, 0) * asked.reshape(-1, 1),
    )


def sample_tasks(key: Key, pool: Pool, *, tasks: int, **settings: Any) -> Episode:
    """Draws a batch of episodes with a leading axis [T]; settings as in `sample_episode`."""
    keys = jax.random.split(key, tasks)
    return jax.vmap(lambda k: sample_episode(k, pool, **settings))(keys)


def bind_pool(
    sample: Callable[..., Episode], pool: Pool, **settings: Any
) -> Callable[[Key], Episode]:
    """A sampler as a function of the key alone, and a pytree whose leaves are the pool's arrays.

    As a pytree it can be an argument of a jitted function, so that the pool's arrays do not
    become constants of the compiled program.

    Args:
      sample: `sample_episode` or `sample_tasks`.
      pool: the rows to draw from.
      **settings: of the sampler; hashable.

    Returns:
      key -> episode.
    """
    return jax.tree_util.Partial(settle(sample, **settings), pool)


class Settled(NamedTuple):
    """A sampler with its settings; equal ones compile once, unlike functools.partial's."""

    sample: Callable[..., Any]
    settings: tuple[tuple[str, Any], ...]

    def __call__(self, pool: Any, key: Key, **more: Any) -> Any:
        return self.sample(key, pool, **dict(self.settings), **more)


def settle(sample: Callable[..., Any], **settings: Any) -> Settled:
    """A function of a key and a pool, or of what else is drawn from, with hashable settings."""
    return Settled(sample, tuple(sorted(settings.items())))


def _rows_of(source: Source, classes: Array) -> tuple[Array, Array, Array]:
    """Rows, whether they exist, and their groups, of the classes of an episode: each [W, P]."""
    index = source.index[classes]
    valid = jnp.arange(index.shape[1]) < source.count[classes][:, None]
    return index, valid, source.group[index]


def _stack_padded(arrays: Sequence[Array]) -> Array:
    """[W, P_s] of each source -> [S, W, P], with zeros beyond P_s."""
    most = max(x.shape[1] for x in arrays)
    return jnp.stack([jnp.pad(x, ((0, 0), (0, most - x.shape[1]))) for x in arrays])


def _gather(sources: Sequence[Source], rows: Array) -> Inputs:
    """The rows [S, W, K] of the sources, side by side in one set of modalities."""

    def take(source: Source, chosen: Array) -> Inputs:
        return jax.tree.map(lambda x: x[chosen.reshape(-1)], source.inputs)

    parts = list(map(take, sources, rows))

    def union(maps: Iterable[Mapping]) -> dict:
        return {name: x for part in maps for name, x in part.items()}

    return Inputs(union(p.values for p in parts), union(p.present for p in parts))
