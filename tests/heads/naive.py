"""Heads as loops in NumPy: (params, z [S, D], y [S, W], queries [Q, D]) -> logits [Q, W]."""

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max())
    return e / e.sum()


def cos(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


def means(z, y):
    return np.stack(
        [sum(y[i, w] * z[i] for i in range(len(z))) / y[:, w].sum() for w in range(y.shape[1])]
    )


def nearest(params, prototypes, queries):
    scale = np.exp(params["log_temperature"])
    return np.array([[-((q - p) ** 2).sum() / scale for p in prototypes] for q in queries])


def prototype(params, z, y, queries):
    return nearest(params, means(z, y), queries)


def simpleshot(params, z, y, queries):
    return nearest(params, means(unit(z), y), unit(queries))


def predictive(params, z, y, queries):
    spread, prior = np.exp(params["log_temperature"]) / 2, np.exp(params["log_prior"])
    middle, freedom = means(z, y).mean(0), max(y.sum() - y.shape[1], 0)
    dimensions = np.exp(params["log_dimensions"])
    for w, mean in enumerate(means(z, y)):
        dimensions += sum(y[i, w] * ((z[i] - mean) ** 2).sum() for i in range(len(z))) / spread
    dimensions /= 1 + freedom
    logits = np.zeros((len(queries), y.shape[1]))
    for w, mean in enumerate(means(z, y)):
        precision = y[:, w].sum() / spread + prior / spread
        place = (y[:, w].sum() / spread * mean + prior / spread * middle) / precision
        variance = spread + 1 / precision
        squares = ((queries - place) ** 2).sum(1)
        logits[:, w] = -squares / variance / 2 - dimensions * np.log(variance / spread) / 2
    return logits


def matching(params, z, y, queries):
    scale = np.exp(params["log_scale"])
    similarities = np.array([[scale * cos(q, s) for s in z] for q in queries])
    return np.log(np.exp(similarities) @ y)


def lstm(params, x, c, h):
    def gate(name):
        return (
            x @ params["i" + name]["kernel"]
            + h @ params["h" + name]["kernel"]
            + params["h" + name]["bias"]
        )

    c = sigmoid(gate("f")) * c + sigmoid(gate("i")) * np.tanh(gate("g"))
    return c, sigmoid(gate("o")) * np.tanh(c)


def run_lstm(params, rows):
    c = h = np.zeros_like(rows[0])
    outputs = []
    for row in rows:
        c, h = lstm(params, row, c, h)
        outputs.append(h)
    return np.stack(outputs)


def full_context(params, z, y, queries, steps=3):
    forward = run_lstm(params["support"]["forward"], z)
    backward = run_lstm(params["support"]["backward"], z[::-1])[::-1]
    support = z + forward + backward
    embedded = []
    for q in queries:
        c, h = np.zeros_like(q), q
        for _ in range(steps):
            read = softmax(support @ h) @ support
            c, out = lstm(params["query"]["cell"], np.concatenate([q, read]), c, h)
            h = out + q
        embedded.append(h)
    return matching(params, support, y, embedded)


def relation(params, z, y, queries):
    kernel = np.concatenate([params["of_classes"]["kernel"], params["of_queries"]["kernel"]])

    def score(a, b):
        hidden = np.concatenate([a, b]) @ kernel + params["of_classes"]["bias"]
        return (np.maximum(hidden, 0) @ params["score"]["kernel"] + params["score"]["bias"])[0]

    return np.array([[score(p, q) for p in means(z, y)] for q in queries])


def with_ones(z):
    return np.c_[z, np.ones(len(z))]


def ridge(params, z, y, queries):
    x, weight, penalty = with_ones(z), np.diag(y.sum(1)), np.exp(params["log_penalty"])
    a = np.linalg.solve(x.T @ weight @ x + penalty * np.eye(x.shape[1]), x.T @ y)
    return np.exp(params["log_scale"]) * with_ones(queries) @ a


def logistic(params, z, y, queries, steps=5):
    x, weight, penalty = with_ones(z), y.sum(1), np.exp(params["log_penalty"])
    logits = []
    for target in y.T:
        a = np.zeros(x.shape[1])
        for _ in range(steps):
            p = sigmoid(x @ a)
            gradient = x.T @ (weight * p - target) + penalty * a
            hessian = x.T @ np.diag(weight * p * (1 - p)) @ x + penalty * np.eye(len(a))
            a = a - np.linalg.solve(hessian, gradient)
        logits.append(with_ones(queries) @ a)
    return np.exp(params["log_scale"]) * np.stack(logits, 1)


def covariance(z, weight):
    center = np.average(z, 0, weight)
    return (
        sum(w * np.outer(r - center, r - center) for w, r in zip(weight, z, strict=True))
        / weight.sum()
    )


def mahalanobis(params, z, y, queries):
    logits = np.zeros((len(queries), y.shape[1]))
    for w, mean in enumerate(means(z, y)):
        n = y[:, w].sum()
        q = n / (n + 1) * covariance(z, y[:, w]) + covariance(z, y.sum(1)) / (n + 1)
        inverse = np.linalg.inv(q + np.exp(params["log_ridge"]) * np.eye(z.shape[1]))
        logits[:, w] = [-0.5 * (r - mean) @ inverse @ (r - mean) for r in queries]
    return logits


def feat(params, z, y, queries):
    x, p = means(z, y), params["attention"]
    apart = x - x.mean(1, keepdims=True)
    normal = apart / np.sqrt((apart**2).mean(1, keepdims=True) + 1e-6)
    normal = normal * p["norm"]["scale"] + p["norm"]["bias"]
    q, k, v = (normal @ p[name]["kernel"] for name in "qkv")
    read = np.stack([softmax(row @ k.T / np.sqrt(x.shape[1])) @ v for row in q])
    added = read @ p["out"]["kernel"] + p["out"]["bias"]
    return nearest(params, x + p["gate"] * added, queries)


def soft_kmeans(params, z, y, queries):
    share = np.stack([softmax(row) for row in prototype(params, z, y, queries)])
    refined = means(np.concatenate([z, queries]), np.concatenate([y, share]))
    return nearest(params, refined, queries)


def propagation(params, z, y, queries, neighbours=20, alpha=0.9):
    rows = np.concatenate([z, queries])
    n, length = len(rows), np.exp(params["log_length"])
    distance = np.array([[((a - b) ** 2).sum() / length**2 for b in rows] for a in rows])
    np.fill_diagonal(distance, np.inf)
    near = [set(np.argsort(row)[:neighbours]) for row in distance]
    edges = np.zeros((n, n))
    for i in range(n):
        for j in near[i]:
            edges[i, j] = edges[j, i] = np.exp(-distance[i, j] / 2)
    root = 1 / np.sqrt(edges.sum(1))
    labels = np.concatenate([y, np.zeros((len(queries), y.shape[1]))])
    spread = np.linalg.inv(np.eye(n) - alpha * root[:, None] * edges * root) @ labels
    return np.log(spread[len(z) :])


def excess(logits, y):
    """The gradient of the mean cross-entropy with respect to the logits."""
    p = np.stack([softmax(row) for row in logits])
    return (y.sum(1, keepdims=True) * p - y) / y.sum()


def linear(params, z, y, queries):
    x = with_ones(z)
    rate = 1 / np.average((x**2).sum(1), weights=y.sum(1))
    a = np.zeros((x.shape[1], y.shape[1]))
    for _ in range(100):
        a = a - rate * (x.T @ excess(x @ a, y) + 1e-3 * a)
    return with_ones(queries) @ a


def unit(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def cosine(params, z, y, queries):
    a, x = unit(means(z, y)), unit(z)
    for _ in range(100):
        directions = unit(a)
        pull = 10 * excess(10 * x @ directions.T, y).T @ x
        # Only what is orthogonal to a weight turns it.
        along = (pull * directions).sum(1, keepdims=True) * directions
        a = a - 0.01 * ((pull - along) / np.linalg.norm(a, axis=1, keepdims=True) + 1e-3 * a)
    return 10 * unit(queries) @ unit(a).T


def triangular(params, z, y, queries):
    p, temperature = params["module"], np.exp(params["log_temperature"])

    def dense(name, x):
        return x @ p[name]["kernel"] + p[name]["bias"]

    def relation(a, b):
        u, v = dense("embed", a), dense("embed", b)
        hidden = np.maximum(dense("compare", np.concatenate([(u - v) ** 2, u * v])), 0)
        return dense("score", hidden)[0] - ((a - b) ** 2).sum() / temperature

    scores = np.array([[relation(q, row) for row in z] for q in queries])
    return np.stack([np.average(scores, axis=1, weights=column) for column in y.T], axis=1)
