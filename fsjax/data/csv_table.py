"""A CSV of things, with a row for each, as a table of arrays."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from fsjax.data.columns import (
    Modality,
    cells_of,
    check_cells,
    check_filled,
    find_modalities,
    held,
)
from fsjax.data.files import Sizes, read_file, read_lines
from fsjax.data.precision import check_precision
from fsjax.data.preprocess import encode_texts
from fsjax.data.sheet import Sheet, open_csv
from fsjax.data.stored import Stored, loaded, stored
from fsjax.data.table import Rows, Table
from fsjax.types import Inputs

BANDS = 32  # of the log-mel frames of `read_file`


def read_rows(
    sheet: Sheet,
    modalities: Mapping[str, Modality],
    sizes: Sizes,
    rows: slice = slice(None),
    *,
    stream: bool = False,
) -> tuple[dict[str, np.ndarray | Stored], dict[str, np.ndarray]]:
    """Reads rows of a sheet whose cells have been checked, files by several threads.

    Args:
      sheet: the cells.
      modalities: what its columns are; a column that it lacks is missing in all rows.
      sizes: to which files and texts are fitted.
      rows: which of them, N.
      stream: whether images, sounds and series stay in their files until they are asked for.

    Returns:
      values, modality -> [N, ...], zeros where missing (a series that is missing in all of the
      rows has one channel), and present, modality -> [N].

    Raises:
      ValueError: if a file cannot be read; names line and column.
    """
    part = sheet._replace(rows=sheet.rows[rows], where=sheet.where[rows])
    values, present = {}, {}
    for name, modality in modalities.items():
        cells = cells_of(part, modality)
        read = partial(_read, part, modality, cells)
        first = next((row for row, cell in enumerate(cells) if any(cell)), None)
        fitted = sizes
        if modality.kind == "series" and first is not None:
            fitted = sizes._replace(channels=read(sizes, first).shape[1])
        column = stored(len(cells), partial(read, fitted))
        values[name] = loaded(column, stream=stream)
        present[name] = np.array([any(cell) for cell in cells], np.float32)
    return values, present


def _blank(modality: Modality, sizes: Sizes) -> np.ndarray:
    if modality.kind == "image":
        return np.zeros((sizes.image, sizes.image, 3), np.uint8)
    if modality.kind == "audio" and sizes.wave:
        return np.zeros(sizes.wave, np.int16)
    if modality.kind == "audio":
        return np.zeros((sizes.frames, BANDS), np.float32)
    if modality.kind == "series":
        return np.zeros((sizes.steps, max(sizes.channels, 1)), np.float32)
    if modality.kind == "numbers":
        return np.zeros(len(modality.columns), np.float32)
    return np.zeros(sizes.text, np.int32)


def _read(
    sheet: Sheet, modality: Modality, cells: Sequence[Sequence[str]], sizes: Sizes, row: int
) -> np.ndarray:
    if not any(cells[row]):
        return _blank(modality, sizes)
    if modality.kind == "numbers":
        return (np.array(cells[row], np.float64) - modality.centre).astype(np.float32)
    if modality.kind == "text":
        return encode_texts(cells[row], sizes.text)[0]
    path = Path(sheet.folder / cells[row][0])
    try:
        if modality.kind == "lines":
            return encode_texts([" ".join(read_lines(path))], sizes.text)[0]
        return read_file(path, sizes)[0]
    except ValueError as error:
        place = f"{sheet.where[row]}, column {modality.columns[0]}"
        raise ValueError(f"{place}: {error}, or leave the cell empty") from error


def labels_of(sheet: Sheet, label: str) -> list[str]:
    """The label of every row.

    Raises:
      ValueError: if there is no such column, or a cell of it is empty.
    """
    if label not in sheet.header:
        raise ValueError(
            f"{sheet.path} has no column {label}, which names the class of a row; it has "
            f"{', '.join(sheet.header)}: rename one of them to {label}"
        )
    return _filled(sheet, label, "write the class of the row, or remove it")


def _filled(sheet: Sheet, column: str, mend: str) -> list[str]:
    cells = sheet.column(column)
    if "" in cells:
        raise ValueError(f"{sheet.where[cells.index('')]}, column {column} is empty; {mend}")
    return cells


def as_table(
    sheet: Sheet,
    modalities: Mapping[str, Modality],
    sizes: Sizes,
    *,
    label: str = "label",
    group: str = "group",
    stream: bool = False,
) -> Table:
    """Reads a sheet of labelled rows whose cells have been checked.

    Args:
      sheet: the cells.
      modalities: what its columns are.
      sizes: to which files and texts are fitted.
      label: the column that names the class of a row.
      group: the column that names the group of a row, if there is one.
      stream: as `read_rows` takes it.

    Returns:
      A table of one source, "rows", whose classes are sorted.

    Raises:
      ValueError: if a cell is faulty or there is but one class; names line and column.
    """
    classes, labels = np.unique(labels_of(sheet, label), return_inverse=True)
    if len(classes) < 2:
        raise ValueError(
            f"{sheet.path}: all rows are of one class, {classes[0]}; add rows of another, to tell "
            "them apart"
        )
    check_precision(sheet, modalities)
    groups = np.arange(len(labels))
    if group in sheet.header:
        named = _filled(sheet, group, "name the group of every row, or remove the column")
        _, groups = np.unique(named, return_inverse=True)
    values, present = read_rows(sheet, modalities, sizes, stream=stream)
    rows = Rows(values, present, labels.astype(np.int32), groups.astype(np.int32))
    return Table(tuple(classes.tolist()), {"rows": rows}, {})


def read_csv(
    path: str | Path,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    label: str = "label",
    group: str = "group",
    sizes: Sizes | None = None,
    stream: bool = False,
) -> Table:
    """Reads a data set with a row for each thing: files by their paths, texts and numbers.

    An empty cell is a modality that is missing. Numbers stay as they are: what they are to be
    scaled by must come from training or support rows alone, which are not known here.

    Args:
      path: a CSV in UTF-8 with a header; paths in it begin at its folder.
      columns: what the columns are, as `find_modalities` takes it, where that is to be said.
      label: the column that names the class of a row.
      group: the column that names the group of a row, if there is one.
      sizes: to which files and texts are fitted.
      stream: as `read_rows` takes it.

    Returns:
      A table of one source, "rows": image [N, size, size, 3] uint8, audio [N, frames, 32]
      float32 in dB or [N, wave] int16, series [N, steps, channels] float32, text [N, L] int32 and
      tabular [N, K] float32, as far as there are columns.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if anything in it is faulty; names the line, the column and the mend.
    """
    sheet = open_csv(path)
    labels_of(sheet, label)
    found = find_modalities(sheet, columns, skip=(label, group))
    check_cells(sheet, found)
    check_filled(sheet, found)
    return as_table(sheet, found, sizes or Sizes(), label=label, group=group, stream=stream)


def check_queries(sheet: Sheet, modalities: Mapping[str, Modality]) -> list[str]:
    """Checks the cells of queries, which may lack labels and modalities, without opening files.

    Args:
      sheet: the cells.
      modalities: what the columns of the support set are; others are not read.

    Returns:
      The modalities that the queries have no column for, sorted.

    Raises:
      ValueError: if they have no column for any, or a cell is faulty; names line and column.
    """
    there = held(sheet, modalities)
    check_cells(sheet, there)
    return sorted(set(modalities) - set(there))


def read_queries(
    path: str | Path,
    support: str | Path,
    *,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    label: str = "label",
    group: str = "group",
    sizes: Sizes | None = None,
) -> Inputs:
    """Reads queries by the columns of a support set, in whatever order they have them.

    Args:
      path: a CSV as `read_csv` takes it; labels may be absent, and a modality whose columns are
        absent is missing in all rows.
      support: the CSV of the support set, which says what the columns are.
      columns: as for the support set.
      label: as for the support set.
      group: as for the support set.
      sizes: as for the support set.

    Returns:
      The modalities of the support set, as `read_csv` gives them.

    Raises:
      FileNotFoundError: if either file is not there.
      ValueError: if anything in them is faulty; names the line, the column and the mend.
    """
    found = find_modalities(open_csv(support), columns, skip=(label, group))
    sheet = open_csv(path)
    check_queries(sheet, found)
    check_filled(sheet, found)
    return Inputs(*read_rows(sheet, found, sizes or Sizes()))
