"""From a config to the parts of a network: norms, encoders and fusions by name."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
from ml_collections import ConfigDict

from experiments.names import named, parse_names, parse_pairs, pick
from fsjax.data.columns import kind_in
from fsjax.encoders import audio, image, norms, series, tabular, text
from fsjax.encoders.multimodal import Multimodal, as_network
from fsjax.encoders.precision import in_bfloat16
from fsjax.fusion import attention, crossed, gated, pooled, products, stacked
from fsjax.fusion.centred import Centred
from fsjax.learners.embedding import embed_in_turn, embed_together
from fsjax.types import Embed, Network

NORMS = {
    "group": norms.GroupNorm,
    "episode": norms.EpisodeNorm,
    "support": norms.SupportNorm,
    "calibrated": norms.CalibratedNorm,
}
# The norms whose output for a row depends on other rows at test.
ROWS_SHARE = ("episode", "support")
ENCODERS: dict[str, Callable[[type[nn.Module]], nn.Module]] = {
    "conv4": lambda norm: image.Conv4(norm=norm),
    "conv4_widening": lambda norm: image.Conv4((32, 64, 128, 256), norm),
    "conv4_wide": lambda norm: image.Conv4((48, 96, 192, 384), norm),
    "conv4_strided": lambda norm: image.StridedConv4(norm=norm),
    "conv4_halved": lambda norm: image.Halved(image.Conv4(norm=norm)),
    "conv4_maps": lambda norm: image.Conv4(norm=norm, pooled=2),
    "resnet12": lambda norm: image.ResNet12(norm=norm),
    "conv_audio": lambda norm: audio.ConvAudio(norm=norm),
    "conv_series": lambda norm: series.ConvSeries(norm=norm),
    "conv_series_short": lambda norm: series.ConvSeries((64, 64), norm=norm),
    "bytes": lambda norm: text.ByteTransformer(),
    "ngrams": lambda norm: text.CharNgrams(),
    "ngrams_dropout": lambda norm: text.CharNgrams(dropout=0.5),
    "mlp": lambda norm: tabular.MLP(),
    "linear": lambda norm: tabular.MLP(hidden=()),
    "linear_unit": lambda norm: tabular.UnitLength(tabular.MLP(hidden=(), features=256)),
    "mlp_standardised": lambda norm: tabular.Standardised(tabular.MLP()),
    "raw": lambda norm: tabular.Raw(),
    "raw_standardised": lambda norm: tabular.Standardised(
        tabular.BesideOne(tabular.Mirrored(tabular.Raw()))
    ),
}
PRECISIONS: dict[str, Callable[[Network], Network]] = {
    "float32": lambda network: network,
    "bfloat16": in_bfloat16,
}
# Heads of features less their mean over the training set.
CENTRED = ("simpleshot",)
# Those that take table rows, as the features of a frozen encoder are.
OF_ROWS = ("mlp", "mlp_standardised", "linear", "linear_unit", "raw", "raw_standardised")
# As rows are without an encoder, where they are scaled before one.
RAW = {"mlp_standardised": "raw_standardised"}
FUSIONS: dict[str, Callable[[], nn.Module]] = {
    "attention": attention.Attention,
    "concat": pooled.Concat,
    "plain": pooled.Plain,
    "sum": pooled.WeightedSum,
    "gated": gated.GatedUnit,
    "film": gated.FiLM,
    "cross_attention": crossed.CrossAttention,
    "bottleneck": crossed.Bottleneck,
    "low_rank": products.LowRank,
    "experts": products.ProductOfExperts,
    "late": stacked.Stacked,
    "late_precision": stacked.Stacked,
    "late_common": stacked.StackedInCommon,
}


def computed(config: ConfigDict, module: nn.Module, **how: Any) -> Network:
    """A Flax module as a network, as for `as_network`, in the precision that a config names."""
    return named(PRECISIONS, config, "precision")(as_network(module, **how))


def embed_all(config: ConfigDict, network: Network, *, train: bool = True) -> Embed:
    """All rows of an episode through a network: in one pass if none sees another at test."""
    embed = embed_in_turn if config.norm in ROWS_SHARE else embed_together
    return embed(network, train=train)


def encoder_name(config: ConfigDict, modality: str) -> str:
    """The encoder of a modality, or of its kind, as image of image.front; one that the config does
    not name is taken for table rows.

    So is a frozen one, unless the config names an encoder of rows for it.
    """
    name = config.encoders.get(kind_in(modality), config.encoders.tabular)
    if modality in parse_pairs(config.frozen) and name not in OF_ROWS:
        return config.encoders.tabular
    return name


def encoder(config: ConfigDict, modality: str) -> nn.Module:
    """The encoder of a modality, or of a kind of class descriptions."""
    make = pick(ENCODERS, encoder_name(config, modality), f"encoders.{modality}")
    return make(named(NORMS, config, "norm"))


def module_of(config: ConfigDict) -> Multimodal:
    """The encoders and the fusion that a config names."""
    encoders = {name: encoder(config, name) for name in parse_names(config.modalities)}
    fusion = named(FUSIONS, config, "fusion")()
    return Multimodal(encoders, Centred(fusion) if config.head in CENTRED else fusion)
