"""Texts as rows of a table, and as the tokens of a published encoder."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Split = Callable[[Sequence[str]], tuple[np.ndarray, np.ndarray]]


def read_tokenizer(path: Path, lengths: Sequence[int], name: str) -> Split:
    """Texts -> ids [N, L] int32 and mask [N, L] float32 of their tokens.

    Args:
      path: of a `tokenizer.json`.
      lengths: L is the least of them, in this order, that holds all texts; what is beyond the last
        is cut off.
      name: of the encoder, for what is said.

    Raises:
      ImportError: if the package tokenizers is not installed.
      ValueError: if the file is damaged.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(f"{name} needs a package: pip install tokenizers") from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing more exact
        raise ValueError(f"{path} is no tokenizer ({error}); download it again") from error
    tokenizer.enable_truncation(lengths[-1])
    tokenizer.no_padding()

    def split(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        found = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
        most = max(map(len, found), default=0)
        length = next(length for length in lengths if length >= most)
        ids = np.zeros((len(found), length), np.int32)
        mask = np.zeros((len(found), length), np.float32)
        for row, some in enumerate(found):
            ids[row, : len(some)], mask[row, : len(some)] = some, 1
        return ids, mask

    return split


def decode_texts(codes: np.ndarray, name: str = "an encoder") -> list[str]:
    """Texts from their UTF-8 bytes plus one, 0 for padding.

    Args:
      codes: [N, L] integers in 0 to 256.
      name: of the encoder, for what is said.

    Raises:
      ValueError: if they are no such codes.
    """
    codes = np.asarray(codes)
    whole = codes.ndim == 2 and codes.dtype.kind in "iu"
    if not whole or ((codes < 0) | (codes > 256)).any():
        raise ValueError(
            f"{name} embeds texts [N, L] of integers, bytes plus one and 0 for padding, not "
            f"{list(codes.shape)} of type {codes.dtype}: encode them by "
            "fsjax.data.preprocess.encode_texts"
        )
    rows = ((row[row > 0] - 1).astype(np.uint8) for row in codes)
    return [row.tobytes().decode("utf-8", "replace") for row in rows]
