"""Columns of a sheet as modalities: which are what, and the arrays that they hold."""

import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fsjax.data.files import ENDINGS
from fsjax.data.sheet import Sheet

LARGEST = 1e18  # of a number, so that float32 holds sums of squares
COMMA = re.compile(r"[+-]?\d+,\d+")
MEND = "say what it is with columns, as in {}:{}"


class Modality(NamedTuple):
    """What the cells of columns are together."""

    kind: str  # image | audio | series | text | lines (paths of texts) | numbers
    columns: tuple[str, ...]  # one, or any of numbers
    centre: tuple[float, ...] | float = 0.0  # of numbers, which are read less it


def find_modalities(
    sheet: Sheet,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    *,
    skip: Sequence[str] = (),
) -> dict[str, Modality]:
    """Finds out what the columns of a sheet are.

    Args:
      sheet: cells; what most of a column's cells hold decides.
      columns: modality -> its column, or columns of numbers as in "height+width" or a sequence;
        others are not read. Without them all are: columns called image, text or audio are that. A
        column of paths, of images, sounds or series, is a modality called so if it is the only
        one, and else by its name too, as image.front; the same goes for texts. All columns of
        numbers are one modality, "tabular".
      skip: names of columns that are no modality.

    Returns:
      Name of a modality -> what it is.

    Raises:
      ValueError: if a column does not exist, is empty, or is not what it is said to be.
    """
    if columns:
        return {name: _said(sheet, name, column, skip) for name, column in columns.items()}
    kinds = {name: _kind(sheet, name) for name in sheet.header if name not in skip}
    if not kinds:
        raise ValueError(
            f"{sheet.path} has no column beside {', '.join(sheet.header)}: add one of images, "
            "sounds, texts or numbers"
        )
    titles = {name: "text" if kind == "lines" else kind for name, kind in kinds.items()}
    several = Counter(titles.values())
    found = {
        _title(titles[name], name, alone=several[titles[name]] == 1): Modality(kind, (name,))
        for name, kind in kinds.items()
        if kind != "numbers"
    }
    if numbers := tuple(name for name, its in kinds.items() if its == "numbers"):
        found["tabular"] = Modality("numbers", numbers)
    return found


def kind_in(name: str) -> str:
    """The kind that the name of a modality begins with, as image in image.front."""
    return name.partition(".")[0]


def _title(kind: str, column: str, *, alone: bool) -> str:
    return kind if alone or column == kind else f"{kind}.{column}"


def _said(sheet: Sheet, name: str, named: str | Sequence[str], skip: Sequence[str]) -> Modality:
    if isinstance(named, str):
        named = [named] if named.strip() in sheet.header else named.split("+")
    columns = tuple(part.strip() for part in named)
    for part in columns:
        if part not in sheet.header or part in skip:
            near = difflib.get_close_matches(part, sheet.header, n=1)
            hint = f"; did you mean {near[0]}?" if near and part not in skip else ""
            why = "is the label or the group" if part in skip else "is no column"
            raise ValueError(
                f"{sheet.path}: {part}, which is to be {name}, {why}; there are "
                f"{', '.join(sheet.header)}{hint}"
            )
    if name == "tabular" or len(columns) > 1:
        for part in columns:
            _given(sheet, part)
        return Modality("numbers", columns)
    return Modality(_kind(sheet, columns[0], name), columns)


def _given(sheet: Sheet, column: str) -> list[str]:
    given = [cell for cell in sheet.column(column) if cell]
    if not given:
        raise ValueError(
            f"{sheet.path}: the column {column} is empty in all rows; fill it in or remove it"
        )
    return given


def _kind(sheet: Sheet, column: str, name: str | None = None) -> str:
    """What a column holds; a name of a modality says it outright."""
    given = _given(sheet, column)
    votes = Counter(map(_looks, given))
    most = next((kind for kind, count in votes.items() if 2 * count > len(given)), "text")
    said = kind_in((name or column).casefold())
    if said in ("image", "audio"):
        return said
    if said == "text":
        return "lines" if most == "lines" else "text"
    commas = [cell for cell in given if COMMA.fullmatch(cell)]
    if 2 * len(commas) > len(given):
        raise ValueError(
            f"{sheet.path}: the column {column} holds numbers with a comma, such as {commas[0]}; "
            f"write them with a point, or {MEND.format('text', column)}"
        )
    unknown = [cell for cell in given[:20] if os.path.isfile(sheet.folder / cell)]
    if most == "text" and 2 * len(unknown) > len(given[:20]):
        raise ValueError(
            f"{sheet.path}: the column {column} names files such as {unknown[0]}, of no known "
            f"ending; convert them to {' '.join(ENDINGS)}, or {MEND.format('text', column)}"
        )
    return most


def _looks(cell: str) -> str:
    ending = os.path.splitext(cell)[1].lower()
    if ending in ENDINGS:
        return "lines" if ENDINGS[ending].modality == "text" else ENDINGS[ending].modality
    try:
        float(cell)
    except ValueError:
        return "text"
    return "numbers"


def check_cells(sheet: Sheet, modalities: Mapping[str, Modality]) -> None:
    """Checks every cell as far as that can be done without opening files.

    Raises:
      ValueError: if a file is not there or of another kind, a number is none, not finite or too
        large, or only some of the numbers of a modality are given; names line and column.
    """
    cells = {name: cells_of(sheet, modality) for name, modality in modalities.items()}
    for row, where in enumerate(sheet.where):
        for name, modality in modalities.items():
            _check(sheet, where, modality, cells[name][row])


def empty_rows(sheet: Sheet, modalities: Mapping[str, Modality]) -> list[int]:
    """The places of rows that have none of the modalities."""
    cells = zip(*(cells_of(sheet, modality) for modality in modalities.values()), strict=True)
    return [place for place, row in enumerate(cells) if not any(map(any, row))]


def check_filled(sheet: Sheet, modalities: Mapping[str, Modality]) -> None:
    """Raises ValueError, naming line and columns, if a row has none of the modalities."""
    if empty := empty_rows(sheet, modalities):
        columns = ", ".join(column for its in modalities.values() for column in its.columns)
        raise ValueError(
            f"{sheet.where[empty[0]]}: all of {columns} are empty; fill one in or remove the row"
        )


def cells_of(sheet: Sheet, modality: Modality) -> list[tuple[str, ...]]:
    """The cells of each row that are the modality, empty ones where the sheet lacks its columns."""
    if not set(modality.columns) <= set(sheet.header):
        return [("",)] * len(sheet.rows)
    return list(zip(*(sheet.column(name) for name in modality.columns), strict=True))


def held(sheet: Sheet, modalities: Mapping[str, Modality]) -> dict[str, Modality]:
    """Those of the modalities of another sheet whose columns this one has.

    Raises:
      ValueError: if it has none, or some of the numbers of one and not the others.
    """
    asked = [column for modality in modalities.values() for column in modality.columns]
    found = {}
    for name, modality in modalities.items():
        lacking = [column for column in modality.columns if column not in sheet.header]
        if not lacking:
            found[name] = modality
        elif len(lacking) < len(modality.columns):
            raise ValueError(
                f"{sheet.path} has no column {', '.join(lacking)}, which is part of {name}; add it"
            )
    if not found:
        raise ValueError(
            f"{sheet.path} has none of the columns {', '.join(asked)}; it has "
            f"{', '.join(sheet.header)}: name its columns as those of the support set"
        )
    return found


def _check(sheet: Sheet, where: str, modality: Modality, cells: Sequence[str]) -> None:
    if not any(cells):
        return
    if modality.kind == "numbers":
        for column, cell in zip(modality.columns, cells, strict=True):
            _check_number(f"{where}, column {column}", column, cell, modality)
    elif modality.kind != "text":
        _check_path(f"{where}, column {modality.columns[0]}", sheet, cells[0], modality)


def _check_number(where: str, column: str, cell: str, modality: Modality) -> None:
    if not cell:
        raise ValueError(
            f"{where} is empty, yet other numbers of the row are there; fill it in, leave all of "
            f"{', '.join(modality.columns)} empty, or make it a modality of its own with columns"
        )
    try:
        number = float(cell)
    except ValueError:
        raise ValueError(
            f"{where}: {cell!r} is no number; write one, leave the cell empty, or "
            f"{MEND.format('text', column)}"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"{where}: {cell!r} is not finite; write a number or leave the cell empty")
    if abs(number) > LARGEST:
        raise ValueError(
            f"{where}: {cell!r} is beyond {LARGEST:.0e}; write {column} in a larger unit, or leave "
            "the cell empty"
        )


def _check_path(where: str, sheet: Sheet, cell: str, modality: Modality) -> None:
    path, found = sheet.folder / cell, _looks(cell)
    if found != modality.kind:
        known = [e for e, kind in ENDINGS.items() if kind.modality == modality.kind]
        known = known or [".txt"]
        raise ValueError(
            f"{where}: {cell!r} has none of the endings {' '.join(known)} of "
            f"{modality.kind}; name such a file or leave the cell empty"
        )
    if not os.path.isfile(path):
        raise ValueError(
            f"{where}: there is no file {path}; correct the path, which begins at the folder "
            f"{sheet.folder.absolute()}, or leave the cell empty"
        )
