"""Few-shot methods that are ready to adapt: one that needs no training, and those of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import build, devices, inputs, jobs
from experiments.evaluate import load_config
from experiments.names import check_name, parse_names
from fsjax.data.files import Sizes
from fsjax.data.preprocess import bags_of_ngrams
from fsjax.encoders.multimodal import Multimodal, as_network, calibrate
from fsjax.encoders.tabular import Raw, Standardised
from fsjax.fusion.pooled import Plain
from fsjax.heads import prototype
from fsjax.heads.distances import cosine
from fsjax.learners import metric
from fsjax.types import Array, Inputs, Learner, Network, Params, Support


class Method(NamedTuple):
    """A learner, and what stands before it."""

    about: str  # in a few words
    sizes: Sizes  # to which files are fitted
    rows: Mapping[str, jax.ShapeDtypeStruct] | None  # a row that it knows; None: any
    embed: Callable[[Inputs], Inputs]  # rows as they are read -> as the learner takes them
    learner: Learner
    network: Network  # of the learner: rows as it takes them -> features
    params: Callable[[Support], Params]  # those trained, or made from the support set


class Embed(NamedTuple):
    """Features that nothing of ours has trained."""

    name: str
    embed: Callable[[np.ndarray], np.ndarray]  # rows [N, ...] -> [N, D] float32
    standardise: bool  # by the mean and deviation of the support rows


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), -1).astype(np.float32)


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


# By kind of rows: what makes features of them where nothing is trained, and the sizes it wants.
EMBEDS: dict[str, Embed] = {
    "image": Embed("pixels", _flat, True),
    "audio": Embed("log-mel frames", _heard, False),
    "text": Embed("n-grams of letters", _ngrams, False),
    "numbers": Embed("numbers", _flat, True),
}
SIZES = Sizes(image=32, frames=96, text=256)


def _kind(x: np.ndarray) -> str:
    """What rows are, by their type and shape."""
    if x.dtype == np.uint8:
        return "image"
    if np.issubdtype(x.dtype, np.integer):
        return "text"
    return "audio" if x.ndim > 2 else "numbers"


def untrained(rows: Mapping[str, np.ndarray]) -> Method:
    """The nearest class mean of features by cosine, without any training.

    Each modality is at unit length and stands beside the others.

    Args:
      rows: modality -> the support rows [S, ...] as they are read.
    """
    kinds = {name: _kind(x) for name, x in rows.items()}
    encoders = {
        name: Standardised(Raw()) if EMBEDS[kind].standardise else Raw()
        for name, kind in kinds.items()
    }
    network = as_network(Multimodal(encoders, Plain()))
    head = prototype(distance=cosine)

    def embed(inputs: Inputs) -> Inputs:
        made = {m: EMBEDS[kind].embed(np.asarray(inputs.values[m])) for m, kind in kinds.items()}
        return Inputs(made, inputs.present)

    def params(support: Support) -> Params:
        key, batches = jax.random.key(0), jax.tree.map(lambda x: x[None], support.inputs)
        learned = calibrate(network, network.init(key, support.inputs), batches)
        z, _ = network.apply(learned, support.inputs)
        return {"network": learned, "head": head.init(key, z, support.labels)}

    used = ", ".join(f"{name}: {EMBEDS[kind].name}" for name, kind in kinds.items())
    return Method(
        f"nothing trained ({used}); a run on data like these does better: --workdir",
        SIZES,
        None,
        embed,
        metric(network, head),
        network,
        jax.jit(params),
    )


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
    if config.learner == "hallucinate" and config.generation.condition != "prototype":
        raise ValueError(
            f"the generator of {name} is told class descriptions, which files do not have: name "
            f"another model of {', '.join(variants)}"
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

    return of_rows
