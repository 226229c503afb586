"""Flax modules as generators, critics and autoencoders."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from fsjax.types import Array, Autoencoder, Condition, Critic, Examples, Generator, Key, Params

# Of the log variance of a code, that of the prior being 0: of rows in the hundreds it would begin
# in the hundreds too, and its exponential overflow.
BOUND = 10.0


def generator(module: nn.Module, *, noise: int = 32) -> Generator:
    """A generator of a module that is called with conditions [B, ...] and noise [B, Z].

    Args:
      module: conditions and noise -> rows [B, ...].
      noise: Z, entries of the noise, which is normal with variance one.
    """

    def draw(condition: Condition, key: Key) -> Array:
        return jax.random.normal(key, (len(condition.prototype), noise))

    def init(key: Key, examples: Examples) -> Params:
        return _init(module, key, examples.condition, draw(examples.condition, key))

    def generate(params: Params, condition: Condition, key: Key) -> Array:
        return module.apply({"params": params}, condition, draw(condition, key))

    return Generator(init, generate)


def critic(module: nn.Module) -> Critic:
    """A critic of a module that is called with rows [B, ...] and conditions [B, ...]."""

    def init(key: Key, examples: Examples) -> Params:
        return _init(module, key, examples.rows, examples.condition)

    def score(params: Params, rows: Array, condition: Condition) -> Array:
        return module.apply({"params": params}, rows, condition)

    return Critic(init, score)


def autoencoder(encoder: nn.Module, decoder: nn.Module, *, codes: int = 32) -> Autoencoder:
    """A conditional variational autoencoder (Sohn et al. 2015,
    https://papers.nips.cc/paper/5775-learning-structured-output-representation-using-deep-conditional-generative-models).

    Args:
      encoder: rows [B, ...] and conditions -> the mean and log variance of codes, side by side:
        [B, 2 Z]; the second is bent towards +-10, which hardly changes it near 0.
      decoder: conditions and codes [B, Z] -> rows.
      codes: Z, entries of a code.

    Returns:
      The autoencoder; its parameters are {"encoder": ..., "decoder": ...}. Its `init` raises
      ValueError if the encoder's codes have another length.
    """
    from_noise = generator(decoder, noise=codes)

    def init(key: Key, examples: Examples) -> Params:
        key_encoder, key_decoder = jax.random.split(key)
        params = _init(encoder, key_encoder, examples.rows, examples.condition)
        mean, _ = encode({"encoder": params}, examples.rows, examples.condition)
        if mean.shape[1] != codes:
            raise ValueError(f"codes={codes}, but the encoder gives {2 * mean.shape[1]} numbers")
        return {"encoder": params, "decoder": from_noise.init(key_decoder, examples)}

    def encode(params: Params, rows: Array, condition: Condition) -> tuple[Array, Array]:
        both = encoder.apply({"params": params["encoder"]}, rows, condition)
        mean, log_variance = jnp.split(both, 2, axis=1)
        return mean, BOUND * jnp.tanh(log_variance / BOUND)

    def decode(params: Params, codes: Array, condition: Condition) -> Array:
        return decoder.apply({"params": params["decoder"]}, condition, codes)

    def generate(params: Params, condition: Condition, key: Key) -> Array:
        return from_noise.generate(params["decoder"], condition, key)

    return Autoencoder(init, generate, encode, decode)


def _init(module: nn.Module, key: Key, *arguments: Array | Condition) -> Params:
    return module.init(key, *arguments).get("params", {})
