"""Networks that stay as they are but for a product of two narrow matrices beside each kernel."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.lax import stop_gradient

from fsjax.types import Array, Inputs, Key, Network, Params, Stats


def is_kernel(path: str) -> bool:
    """Whether parameters, told by their path, are those of a dense layer or a convolution."""
    return path.split("/")[-1] == "kernel"


def low_rank(
    network: Network,
    *,
    rank: int = 4,
    alpha: float = 4.0,
    matches: Callable[[str], bool] = is_kernel,
) -> Network:
    """The network with W + alpha / rank A B for each kernel W, of which A and B alone learn: LoRA
    (Hu et al. 2022, https://arxiv.org/abs/2106.09685).

    B starts at zero, and so the network as it is.

    Args:
      network: rows -> features; its `init` gives the kernels that stay.
      rank: columns of A and rows of B.
      alpha: weight of what is learned.
      matches: whether parameters, told by their path, get matrices beside them.

    Returns:
      The network; its parameters are {"base": ..., "adapters": ...}, the second {"a": [in, rank],
      "b": [rank, out]} in place of each kernel matched, [in, out] the shape of `as_matrix`. No
      gradient reaches the first, its statistics are {"base": ...}. `init` raises ValueError if
      nothing is matched.

    Raises:
      ValueError: if the rank is not positive.
    """
    if rank < 1:
        raise ValueError(f"a product of matrices has a rank of one at least, got {rank}")

    def init(key: Key, inputs: Inputs) -> Params:
        key_base, key_adapters = jax.random.split(key)
        base = network.init(key_base, inputs)
        return {"base": base, "adapters": _adapters(key_adapters, base, rank, matches)}

    def apply(
        params: Params, inputs: Inputs, *, stats: Stats = None, **options
    ) -> tuple[Array, Stats]:
        own = None if stats is None else stats["base"]
        weights = merged(params, alpha=alpha)
        z, stats = network.apply(weights, inputs, stats=own, **options)
        return z, {"base": stats}

    return Network(init, apply)


def merged(params: Params, *, alpha: float = 4.0) -> Params:
    """Parameters of the network itself that make it what it is with its adapters.

    Args:
      params: {"base": ..., "adapters": ...} of `low_rank`.
      alpha: as there.
    """
    base = flatten_dict(stop_gradient(params["base"]), keep_empty_nodes=True)
    adapters = flatten_dict(params["adapters"])
    for path in {path[:-1] for path in adapters}:
        a, b, w = adapters[*path, "a"], adapters[*path, "b"], base[path]
        base[path] = w + alpha / a.shape[1] * (a @ b).reshape(w.shape)
    return unflatten_dict(base)


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a kernel as a matrix of what comes in and what goes out.

    A convolution [3, 3, in, out] is [9 in, out]. Of three axes those are parted that belong
    together, by the fewest rows and columns: a projection to heads [in, heads, width] is [in,
    heads width], one from them [heads, width, out] is [heads width, out].
    """
    splits = (1, 2) if len(shape) == 3 else (len(shape) - 1,)
    return min(((math.prod(shape[:i]), math.prod(shape[i:])) for i in splits), key=sum)


def _adapters(key: Key, base: Params, rank: int, matches: Callable[[str], bool]) -> Params:
    flat = flatten_dict(base)
    kernels = [path for path in sorted(flat) if matches("/".join(path)) and flat[path].ndim > 1]
    if not kernels:
        names = ", ".join(map("/".join, flat)) or "none"
        raise ValueError(f"no kernel to learn beside is among the parameters; there are {names}")
    made = {}
    for number, path in enumerate(kernels):
        w, (rows, columns) = flat[path], as_matrix(flat[path].shape)
        drawn = jax.random.normal(jax.random.fold_in(key, number), (rows, rank), w.dtype)
        # Of the kernel also where the kernel varies over devices, as what is learned will.
        own = jnp.zeros_like(w, shape=())
        made[*path, "a"] = drawn / math.sqrt(rows) + own
        made[*path, "b"] = jnp.zeros((rank, columns), w.dtype) + own
    return unflatten_dict(made)
