"""Few-shot methods that are ready to adapt: one that needs no training, and those of a run."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import build, cache, devices, fitting, inputs
from experiments.evaluate import load_config
from experiments.features import SIZES, embed_of, of_those_there, read_for
from experiments.names import check_name, parse_names
from fsjax.data.files import Sizes
from fsjax.data.table import scaled
from fsjax.encoders.multimodal import Multimodal, as_network, calibrate
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
    columns: Mapping[str, Sequence[str]] = {}  # modality -> those that a run's CSV had


def untrained(kinds: Mapping[str, str], *, features: str = "published") -> Method:
    """The nearest class mean of features by cosine, without any training.

    Each modality is at unit length and stands beside the others; numbers with a one beside them,
    without which their length would be lost.

    Args:
      kinds: modality -> what its rows are, as `kind_of` tells.
      features: "published", those of a published encoder where its weights are installed, which
        are kept in `cache.folder`; or "plain", which need no weights.

    Raises:
      ValueError: if features are neither.
    """
    found = {name: embed_of(kind, features) for name, kind in kinds.items()}
    embeds = {name: embed for name, (embed, _) in found.items()}
    network = as_network(Multimodal({m: x.encoder() for m, x in embeds.items()}, Plain()))
    head = prototype(distance=cosine)

    def embed(inputs: Inputs) -> Inputs:
        made = {m: of_those_there(x.embed, inputs, m) for m, x in embeds.items()}
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


def in_blocks(f: Callable[[Any], Any], rows: Any, *, pad: bool = True) -> Any:
    """f over blocks of rows, the last filled up by its last row unless that would tell f of it."""
    count = len(jax.tree.leaves(rows)[0])
    outs = []
    for start in range(0, count, BLOCK):
        stop = start + BLOCK if pad else min(start + BLOCK, count)
        index = np.minimum(np.arange(start, stop), count - 1)
        outs.append(f(jax.tree.map(lambda x, index=index: x[index], rows)))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count], *outs)


def of_run(workdir: str | Path, name: str | None = None) -> Method:
    """A model of a run that has been trained; the data of its training are not needed.

    Args:
      workdir: of the run.
      name: of the model; the first unless given.

    Raises:
      ValueError: if there is no such run or model, it was not trained, or it takes what files
        cannot give.
      ImportError: if it sees files through a published encoder whose weights are not installed.
    """
    workdir = Path(workdir)
    trained = load_config(workdir)
    devices.cores_as_devices(trained)
    variants = build.models(trained)
    name = name or next(iter(variants))
    check_name(list(variants), name, "--model")
    config = variants[name]
    known = inputs.noted(workdir, trained)
    rows = {modality: known.rows[modality] for modality in parse_names(config.modalities)}
    encoders = {m: x for m, x in build.encoders(config).items() if m in rows}
    whole = {m: known.read[m] for m in known.scales if m in rows and len(rows[m].shape) > 1}
    read = rows | whole
    read |= {m: read_for(x, config.data.seconds, known.read.get(m)) for m, x in encoders.items()}
    rate = max((encoder.rate for encoder in encoders.values()), default=0)
    model = build.model(config)
    if build.is_told(config):
        others = [other for other in variants if not build.is_told(variants[other])]
        mend = f"name one of {', '.join(others)}" if others else "train one that is told none"
        raise ValueError(f"{name} is told class descriptions, which files do not have: {mend}")
    if config.train.steps == 0:  # what it has not learned, its scale, is that of the support set
        learned, fast = None, model
    else:
        pool = inputs.shapes(known, config)
        learned = fitting.params_by_shapes(config, pool, workdir / "models" / name)
        fast = model.fast or model
    encode = _encoder(model, learned) if fast is not model else lambda inputs: inputs

    def embed(some: Inputs) -> Inputs:
        values = dict(some.values)
        for m, encoder in encoders.items():
            values[m] = of_those_there(partial(cache.features, encoder), some, m)
        taken = read | {m: rows[m] for m in encoders}
        values = {m: inputs.alike(np.asarray(values[m]), row, m) for m, row in taken.items()}
        values |= {m: scaled(values[m], by) for m, by in known.scales.items() if m in rows}
        return encode(Inputs(values, {m: some.present[m] for m in rows}))

    def params(support: Support) -> Params:
        key = jax.random.key(config.seed)
        return jax.jit(fast.learner.init)(key, support) if learned is None else learned

    about = f"{name} of {workdir} ({config.learner}, {', '.join(rows)})"
    sizes = inputs.sizes(read)
    sizes = sizes._replace(sample_rate=rate or sizes.sample_rate)
    held = {m: known.columns[m] for m in rows if m in known.columns}
    return Method(about, sizes, read, embed, fast.learner, fast.network, params, held)


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
