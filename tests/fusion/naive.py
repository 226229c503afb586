"""Fusions row by row in NumPy: (params, {modality: its tokens [L, D] that are no padding}) -> [F].

A modality that a row does not have is not among its tokens. Every row has one.
"""

import numpy as np


def softmax(x):
    e = np.exp(x - np.max(x, axis=0))
    return e / e.sum(0)


def dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def relu(x):
    return np.maximum(x, 0)


def layer_norm(layer, x):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * layer["scale"] + layer["bias"]


def mean(params, m, tokens):
    return layer_norm(params[f"norm_{m}"], tokens.mean(0))


def means(params, row):
    return {m: mean(params, m, tokens) for m, tokens in sorted(row.items())}


def width(params, m):
    return len(params[f"norm_{m}"]["scale"])


def names(params):
    return sorted(key.removeprefix("norm_") for key in params if key.startswith("norm_"))


def side_by_side(params, features):
    """Zeros for modalities that are not there."""
    return np.concatenate([features.get(m, np.zeros(width(params, m))) for m in names(params)])


def concat(params, row):
    return side_by_side(params, means(params, row))


def weighted_sum(params, row):
    all_names = names(params)
    weights = softmax(np.array([params["weights"][all_names.index(m)] for m in sorted(row)]))
    said = [dense(params[f"project_{m}"], x) for m, x in means(params, row).items()]
    return sum(w * x for w, x in zip(weights, said, strict=True))


def gated(params, row):
    found = means(params, row)
    seen = np.concatenate([side_by_side(params, found), [m in found for m in names(params)]])
    gates = softmax(np.stack([dense(params[f"gate_{m}"], seen) for m in found]))
    return sum(
        gate * np.tanh(dense(params[f"say_{m}"], x))
        for gate, (m, x) in zip(gates, found.items(), strict=True)
    )


def film(params, row):
    found = means(params, row)
    told = {m: relu(dense(params[f"tell_{m}"], x)) for m, x in found.items()}
    modulated = dict(found)
    for m, x in found.items():
        if others := [told[other] for other in found if other != m]:
            scale, shift = np.split(dense(params[f"film_{m}"], np.mean(others, axis=0)), 2)
            modulated[m] = (1 + scale) * x + shift
    return side_by_side(params, modulated)


def cross_attention(params, row):
    queries = params["queries"]
    parts = []
    for i, query in enumerate(queries):
        place = slice(i * len(query), (i + 1) * len(query))
        logits, values = [], []
        for m, tokens in sorted(row.items()):
            for token in layer_norm(params[f"norm_{m}"], tokens):
                value = dense(params[f"project_{m}"], token)[place]
                key = layer_norm(params["norm_keys"], value)
                logits.append(key @ query / np.sqrt(len(query)) - np.log(len(tokens)))
                values.append(value)
        parts.append(softmax(np.array(logits)) @ np.array(values))
    return np.concatenate(parts)


def attend(layer, x):
    heads = layer["DenseGeneral_0"]["kernel"].shape[1]
    read = []
    for h in range(heads):
        q, k, v = (
            x @ layer[f"DenseGeneral_{i}"]["kernel"][:, h] + layer[f"DenseGeneral_{i}"]["bias"][h]
            for i in range(3)
        )
        weights = softmax((q @ k.T / np.sqrt(q.shape[-1])).T).T
        read.append(weights @ v)
    out = layer["DenseGeneral_3"]
    return sum(r @ kernel for r, kernel in zip(read, out["kernel"], strict=True)) + out["bias"]


def bottleneck(params, row):
    shared = {
        m: dense(params[f"project_{m}"], layer_norm(params[f"norm_{m}"], tokens))
        for m, tokens in sorted(row.items())
    }
    neck = params["bottleneck"]
    layers = sum(key.startswith("layer") for key in params) // len(names(params))
    for i in range(layers):
        necks = []
        for m in shared:
            layer = params[f"layer{i}_{m}"]
            x = np.concatenate([shared[m], neck])
            x = x + attend(layer, layer_norm(layer["LayerNorm_0"], x))
            hidden = relu(dense(layer["Dense_0"], layer_norm(layer["LayerNorm_1"], x)))
            x = x + dense(layer["Dense_1"], hidden)
            shared[m], own = np.split(x, [len(shared[m])])
            necks.append(own)
        neck = np.mean(necks, axis=0)
    zeros = np.zeros(neck.shape[-1])
    return np.concatenate([shared[m].mean(0) if m in row else zeros for m in names(params)])


def low_rank(params, row):
    product = 1.0
    for m, x in means(params, row).items():
        product = product * dense(params[f"factor_{m}"], x)
    return product.reshape(4, -1).sum(0)


def experts(params, row):
    weighted, total = 0.0, 1.0
    for m, x in means(params, row).items():
        precision = np.log1p(np.exp(dense(params[f"precision_{m}"], x)))
        weighted = weighted + precision * dense(params[f"mean_{m}"], x)
        total = total + precision
    return weighted / total


def unit(x, there, widest):
    """A place of a stack."""
    place = np.zeros(widest + 1)
    if there:
        place[: len(x)] = x / np.sqrt(len(x))
        place[-1] = 1
    return place


def late(params, row):
    found, widest = means(params, row), max(width(params, m) for m in names(params))
    return np.concatenate([unit(found.get(m), m in found, widest) for m in names(params)])


def late_common(params, row):
    common = params["norm_common"]
    met = layer_norm(common, weighted_sum(params["WeightedSum_0"], row))
    apart = {key: value for key, value in params.items() if key != "norm_common"}
    found, widest = means(apart, row), len(common["scale"])  # wider than all others
    places = [unit(found.get(m), m in found, widest) for m in names(apart)]
    return np.concatenate([*places, unit(met, True, widest)])
