"""Random rows for benchmarks, which do not ask what they mean."""

import numpy as np

CLASSES, ROWS = 100, 20


def of_images(size: int = 28, channels: int = 1, classes: int = CLASSES) -> dict[str, np.ndarray]:
    """Random rows of each class: images [C, P, H, W, channels], uint8."""
    return {"image": _bytes(classes, size, size, channels)}


def of_three() -> dict[str, np.ndarray]:
    """Random images [C, P, 32, 32, 3], sounds [C, P, 32, 48] and texts [C, P, 32] of each class."""
    text = np.random.default_rng(1).integers(1, 257, (CLASSES, ROWS, 32), np.int32)
    return of_images(32, 3) | {"audio": _bytes(CLASSES, 32, 48), "text": text}


def maml_tasks(number: int, ways: int) -> tuple[np.ndarray, ...]:
    """Random x [T, W, 28, 28, 1], y [T, W], query [T, 15 W, 28, 28, 1], target [T, 15 W]."""
    rng = np.random.default_rng(0)
    rows = (ways, 15 * ways)
    x, query = (rng.uniform(-1, 1, (number, n, 28, 28, 1)).astype(np.float32) for n in rows)
    y, target = (np.tile(np.arange(n) % ways, (number, 1)) for n in rows)
    return x, y, query, target


def _bytes(classes: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (classes, ROWS, *shape), np.uint8)
