"""Published weights into our modules' parameters, by name."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from fsjax.pretrained.weights import Weights
from fsjax.types import Params

Path = tuple[str, ...]  # of a parameter: names of modules, and its own


def named_params(
    shapes: Params,
    weights: Weights,
    name: Callable[[Path], str],
    *,
    unused: Sequence[str] = (),
) -> Params:
    """A module's parameters from weights that were published for PyTorch.

    Kernels are turned from PyTorch's order of axes, outputs first, to Flax's, outputs last.

    Args:
      shapes: the parameters, or their shapes, as `jax.eval_shape` of `init` gives them.
      weights: name -> array.
      name: path of a parameter -> name of its weight.
      unused: what the names of weights end with that no network needs, such as counters.

    Returns:
      The parameters, float32.

    Raises:
      ValueError: naming it, if a weight is missing, has another shape or is left over.
    """
    wanted = {path: (name(path), x.shape) for path, x in flatten_dict(shapes).items()}
    taken = [published for published, _ in wanted.values()]
    known = {key: x for key, x in weights.items() if not key.endswith(tuple(unused) or ("\0",))}
    for fault, names in (
        ("are missing", sorted(set(taken) - set(known))),
        ("are left over", sorted(set(known) - set(taken))),
    ):
        if names:
            raise ValueError(
                f"{len(names)} of {len(known)} weights {fault}: {', '.join(names[:5])}; "
                "these are not the weights of this network"
            )
    flat = {}
    for path, (published, shape) in wanted.items():
        array = _in_our_order(path, weights[published])
        if array.shape != shape:
            raise ValueError(
                f"weight {published} has shape {weights[published].shape}, and {'/'.join(path)} "
                f"wants {shape}; these are not the weights of this network"
            )
        flat[path] = jnp.asarray(array, jnp.float32)
    return unflatten_dict(flat)


def _in_our_order(path: Path, x: np.ndarray) -> np.ndarray:
    """A kernel [out, in, *window] as [*window, in, out]; anything else as it is."""
    if path[-1] != "kernel":
        return x
    return np.transpose(x, (*range(2, x.ndim), 1, 0))


def shapes_of(init: Callable[..., Params], *inputs: jax.ShapeDtypeStruct) -> Params:
    """The shapes of the parameters that `init` of a module gives, without computing them."""
    return jax.eval_shape(init, jax.random.key(0), *inputs)["params"]
