"""Series in files: what was measured step by step, several numbers at once."""

from pathlib import Path

import numpy as np

LARGEST = 1e18  # so that float32 holds sums of squares


def read_series(path: str | Path) -> np.ndarray:
    """The series of a file of `numpy.save`, [steps, channels] float32.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds anything else, or numbers that are not finite or beyond 1e18.
    """
    x = np.load(path, allow_pickle=False)
    if not isinstance(x, np.ndarray) or x.ndim != 2 or not x.size or x.dtype.kind not in "biuf":
        told = f"{x.shape} of type {x.dtype}" if isinstance(x, np.ndarray) else "several arrays"
        raise ValueError(
            f"it holds {told}; save numbers [steps, channels], one channel as x[:, None]"
        )
    if not (np.abs(x.astype(np.float64)) <= LARGEST).all():
        raise ValueError(f"it has numbers that are NaN or beyond {LARGEST:.0e}")
    return x.astype(np.float32)


def fit_series(x: np.ndarray, steps: int) -> np.ndarray:
    """A series [T, C] cut to so many steps, or held where it ends: [steps, C]."""
    return x[np.minimum(np.arange(steps), len(x) - 1)]
