"""Few-shot methods that are ready to adapt: one that needs no training, and those of a run."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from experiments import build, cache, devices, inputs, jobs
from experiments.evaluate import load_config
from experiments.names import check_name, parse_names
from fsjax.data.files import Sizes
from fsjax.data.preprocess import bags_of_ngrams, resize_image
from fsjax.encoders.multimodal import Multimodal, as_network, calibrate
from fsjax.encoders.tabular import Raw, Standardised
from fsjax.fusion.pooled import Plain
from fsjax.heads import prototype
from fsjax.heads.distances import cosine
from fsjax.learners import metric
from fsjax.types import Array, Inputs, Learner, Network, Params, Support

BLOCK = 64  # rows of a compiled program


class Method(NamedTuple):
    """A learner, and what stands before it."""

    about: str  # in a few words
    sizes: Sizes  # to which files are fitted
    rows: Mapping[str, jax.ShapeDtypeStruct] | None  # a row that it knows; None: any
    embed: Callable[[Inputs], Inputs]  # any rows as they are read -> as the learner takes them
    learner: Learner
    network: Network  # of the learner: rows as it takes them -> features
    params: Callable[[Support], Params]  # those trained, or made from the support set


class Embed(NamedTuple):
    """Features that nothing of ours has trained."""

    name: str
    embed: Callable[[np.ndarray], np.ndarray]  # rows [N, ...] -> [N, D] float32
    standardise: bool  # by the mean and deviation of the support rows
    sizes: Mapping[str, int]  # of `Sizes`, those that it wants


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float32)


def _pixels(x: np.ndarray) -> np.ndarray:
    if x.shape[1] > PIXELS:
        x = np.stack([resize_image(Image.fromarray(image), PIXELS) for image in x])
    return _flat(x)


def _heard(x: np.ndarray) -> np.ndarray:
    """The loudest 40 dB, begun at the first frame within 20 dB of the loudest point and silent
    after the last: [N, frames, bands] in dB -> [N, frames * bands] in 0..1.
    """
    level = np.clip(1 + (x - x.max(axis=(1, 2), keepdims=True)) / 40, 0, 1)
    out = np.zeros_like(level, np.float32)
    for aligned, frames in zip(out, level, strict=True):
        first, last = np.flatnonzero(frames.max(1) >= 0.5)[[0, -1]]
        aligned[: last + 1 - first] = frames[first : last + 1]
    return _flat(out)


def _ngrams(codes: np.ndarray) -> np.ndarray:
    """Texts of `encode_texts` as bags of n-grams: [N, L] -> [N, 1024]."""
    texts = [bytes((row[row > 0] - 1).astype(np.uint8)).decode("utf-8", "ignore") for row in codes]
    return bags_of_ngrams(texts)


PIXELS = 32
# By kind of rows: what makes features of them where nothing is trained.
EMBEDS: dict[str, Embed] = {
    "image": Embed("pixels", _pixels, True, {"image": PIXELS}),
    "audio": Embed("log-mel frames", _heard, False, {}),
    "text": Embed("n-grams of letters", _ngrams, False, {"text": 256}),
    "numbers": Embed("numbers", _flat, True, {}),
}
# Of `build.PRETRAINED`, what sees them better, and the sizes that it wants.
PUBLISHED = {"image": ("efficientnet_lite0", {"image": 160}), "text": ("minilm", {"text": 1024})}
SIZES = Sizes(image=160, frames=96, text=1024)  # that serve all of these
FEATURES = ("published", "plain")


def kind_of(x: np.ndarray) -> str:
    """What rows are, by their type and shape."""
    if x.dtype == np.uint8:
        return "image"
    if np.issubdtype(x.dtype, np.integer):
        return "text"
    return "audio" if x.ndim > 2 else "numbers"


def _embed_of(kind: str, features: str) -> tuple[Embed, str]:
    """What makes features of rows of a kind, and what to do for better ones."""
    if features == "plain" or kind not in PUBLISHED:
        return EMBEDS[kind], ""
    name, sizes = PUBLISHED[kind]
    try:
        encoder = build.PRETRAINED[name]()
    except ImportError as error:
        return EMBEDS[kind], f"; {name} would see {kind} better: {error}"
    return Embed(name, partial(cache.features, encoder), False, sizes), ""


def untrained(kinds: Mapping[str, str], *, features: str = "published") -> Method:
    """The nearest class mean of features by cosine, without any training.

    Each modality is at unit length and stands beside the others.

    Args:
      kinds: modality -> what its rows are, as `kind_of` tells.
      features: "published", those of a published encoder where its weights are installed, which
        are kept in `cache.folder`; or "plain", which need no weights.

    Raises:
      ValueError: if features are neither.
    """
    check_name(FEATURES, features, "features")
    found = {name: _embed_of(kind, features) for name, kind in kinds.items()}
    embeds = {name: embed for name, (embed, _) in found.items()}
    network = as_network(
        Multimodal(
            {m: Standardised(Raw()) if x.standardise else Raw() for m, x in embeds.items()}, Plain()
        )
    )
    head = prototype(distance=cosine)

    def embed(inputs: Inputs) -> Inputs:
        made = {m: _of_those_there(x.embed, inputs, m) for m, x in embeds.items()}
        return Inputs(made, inputs.present)

    def params(support: Support) -> Params:
        key, batches = jax.random.key(0), jax.tree.map(lambda x: x[None], support.inputs)
        learned = calibrate(network, network.init(key, support.inputs), batches)
        z, _ = network.apply(learned, support.inputs)
        return {"network": learned, "head": head.init(key, z, support.labels)}

    used = ", ".join(f"{m}: {x.name}" for m, x in embeds.items())
    better = "".join(dict.fromkeys(mend for _, mend in found.values()))
    return Method(
        f"nothing trained ({used}); a run on data like these does better: --workdir{better}",
        SIZES._replace(**{key: n for x in embeds.values() for key, n in x.sizes.items()}),
        None,
        embed,
        metric(network, head),
        network,
        jax.jit(params),
    )


def _of_those_there(
    embed: Callable[[np.ndarray], np.ndarray], inputs: Inputs, modality: str
) -> np.ndarray:
    """Features of the rows that have a modality, zeros for the others."""
    x, there = np.asarray(inputs.values[modality]), np.flatnonzero(inputs.present[modality])
    some = embed(x[there] if len(there) else x[:1])
    z = np.zeros((len(x), *some.shape[1:]), np.float32)
    z[there] = some[: len(there)]
    return z


def in_blocks(f: Callable[[Any], Any], rows: Any, *, pad: bool = True) -> Any:
    """f over blocks of rows, the last filled up by its last row unless that would tell f of it."""
    count = len(jax.tree.leaves(rows)[0])
    outs = []
    for start in range(0, count, BLOCK):
        stop = start + BLOCK if pad else min(start + BLOCK, count)
        index = np.minimum(np.arange(start, stop), count - 1)
        outs.append(f(jax.tree.map(lambda x, index=index: x[index], rows)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *outs)


def of_run(workdir: Path, name: str | None = None) -> Method:
    """A model of a run that has been trained; the data of its training are not needed.

    Args:
      workdir: of the run.
      name: of the model; the first unless given.

    Raises:
      ValueError: if there is no such run or model, it was not trained, or it takes what files
        cannot give.
    """
    trained = load_config(workdir)
    devices.cores_as_devices(trained)
    variants = build.models(trained)
    name = name or next(iter(variants))
    check_name(list(variants), name, "model")
    config = variants[name]
    known = inputs.noted(workdir, trained)
    rows = {modality: known.rows[modality] for modality in parse_names(config.modalities)}
    model = build.model(config)
    generated = config.learner == "hallucinate" and config.generation.condition != "prototype"
    if generated or config.learner in build.TOLD:
        raise ValueError(
            f"{name} is told class descriptions, which files do not have: name another model of "
            f"{', '.join(variants)}"
        )
    if config.train.steps == 0:  # what it has not learned, its scale, is that of the support set
        learned, fast = None, model
    else:
        pool = inputs.shapes(known, config)
        learned = jobs.params_by_shapes(config, pool, workdir / "models" / name)
        fast = model.fast or model
    encode = _encoder(model, learned) if fast is not model else lambda inputs: inputs

    def embed(some: Inputs) -> Inputs:
        values = {m: inputs.alike(np.asarray(some.values[m]), row, m) for m, row in rows.items()}
        return encode(Inputs(values, {m: some.present[m] for m in rows}))

    def params(support: Support) -> Params:
        key = jax.random.key(config.seed)
        return jax.jit(fast.learner.init)(key, support) if learned is None else learned

    about = f"{name} of {workdir} ({config.learner}, {', '.join(rows)})"
    return Method(about, inputs.sizes(rows), rows, embed, fast.learner, fast.network, params)


def _encoder(model: build.Model, params: Params) -> Callable[[Inputs], Inputs]:
    """Rows through the encoders of a network that sees each by itself."""

    @jax.jit
    def encode(network: Params, rows: Inputs, weight: Array) -> Inputs:
        tokens = model.module.apply({"params": network}, rows, weight, method="encode")
        return Inputs(tokens, rows.present)

    def of_rows(rows: Inputs) -> Inputs:
        weight = np.ones(len(next(iter(rows.present.values()))), np.float32)
        return encode(params["network"], rows, weight)

    return partial(in_blocks, of_rows)
