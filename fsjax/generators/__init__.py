"""Generators of rows of classes of which little is known, and what judges them."""

from fsjax.generators.factories import autoencoder, critic, generator

__all__ = ["autoencoder", "critic", "generator"]
