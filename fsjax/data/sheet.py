"""Rows of cells as they are written: of a CSV, or of a folder of files."""

import csv
import io
from pathlib import Path
from typing import NamedTuple

from fsjax.data.files import ENDINGS, kind_of, read_lines, visible


class Sheet(NamedTuple):
    """Cells under a header, and where each row stands."""

    path: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    where: list[str]  # of each row, for messages
    folder: Path  # from which paths in cells begin

    def column(self, name: str) -> list[str]:
        """The cells of a column, without spaces around them."""
        place = self.header.index(name)
        return [row[place].strip() for row in self.rows]


def open_csv(path: str | Path) -> Sheet:
    """Reads the cells of a CSV with a header, in UTF-8, separated by commas.

    Args:
      path: the file; lines without any character are passed over.

    Returns:
      The cells; paths in them begin at the folder of the CSV.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is not UTF-8 or no CSV, has no row, a row with more or fewer cells than
        the header, or a header with an empty or repeated name; says in which line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not a file: name a CSV")
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows, where, line = [], [], 1
    try:
        for cells in reader:
            if cells:
                rows.append(cells)
                where.append(f"{path}, line {line}")
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, row that begins in line {line}: {error}; put a cell that holds quotes, "
            'commas or line ends in double quotes, and write a quote in it twice: "a ""b"" c"'
        ) from error
    if not rows:
        raise ValueError(f"{path} is empty: write a header and a row for each thing")
    header, *rows = rows
    header = tuple(name.strip() for name in header)
    _check_header(path, header)
    if not rows:
        raise ValueError(f"{path} has no rows below its header: write one for each thing")
    for cells, place in zip(rows, where[1:], strict=True):
        if len(cells) != len(header):
            raise ValueError(
                f"{place} has {len(cells)} cells, yet the header has {len(header)} "
                f"({', '.join(header)}): put a text that holds commas in double quotes, and leave "
                "the cell of what is missing empty between its commas"
            )
    return Sheet(path, header, rows, where[1:], path.parent)


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{path}, line {line}: the byte 0x{content[error.start]:02x} is not UTF-8; save the "
            "file as UTF-8 (in Excel: CSV UTF-8)"
        ) from error


def _check_header(path: Path, header: tuple[str, ...]) -> None:
    if len(header) == 1 and (other := next((s for s in ";\t|" if s in header[0]), "")):
        raise ValueError(
            f"{path}, line 1: no comma, but {other!r} between the names; separate cells by commas"
        )
    for place, name in enumerate(header):
        if not name:
            raise ValueError(
                f"{path}, line 1: column {place + 1} has no name; name it, or remove the column"
            )
        if name in header[:place]:
            raise ValueError(
                f"{path}, line 1: the column {name} occurs twice; rename or remove one of them"
            )


def open_folder(path: str | Path, *, label: str = "label") -> Sheet:
    """The files of a folder as cells: paths of images, sounds and series, and the lines of texts.

    Files of different kinds and one name, as in a.png, a.wav and a.txt, are a row. A text of
    several lines is a row for each, a further file of a kind, as a.webp is, one of its own.

    Args:
      path: a folder of class folders, or else of files without labels. Hidden files, and files
        beside class folders, are not read.
      label: name of the column of classes, which files without labels do not have.

    Returns:
      The cells, in the order of the sorted names.

    Raises:
      FileNotFoundError: if there is no such folder.
      ValueError: if a file is of unknown kind, a text cannot be read, or there is none.
    """
    path = Path(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path} is not a folder: name one that holds files")
    classes = [each for each in visible(path) if each.is_dir()]
    found: dict[tuple, dict[str, str]] = {}
    for folder in classes or [path]:
        for file in visible(folder):
            _add(found, path, file)
    if not found:
        raise ValueError(f"{path} has no files: expected {path}/CLASS/FILE, or {path}/FILE")
    known = dict.fromkeys(kind.modality for kind in ENDINGS.values())
    kinds = [kind for kind in known if any(kind in cells for cells in found.values())]
    header = ((label,) if classes else ()) + tuple(kinds)
    rows = [
        [*([key[0]] if classes else []), *(cells.get(kind, "") for kind in kinds)]
        for key, cells in found.items()
    ]
    return Sheet(path, header, rows, [str(path / key[0] / key[1]) for key in found], path)


def _add(found: dict[tuple, dict[str, str]], root: Path, file: Path) -> None:
    kind, folder = kind_of(file), file.parent.relative_to(root)
    cells = read_lines(file) if kind == "text" else [str(file.relative_to(root))]
    key = (str(folder), file.stem)
    if len(cells) > 1 or kind in found.get((*key, 0), ()):
        key = (str(folder), file.name)  # a row of its own
    for number, cell in enumerate(cells):
        found.setdefault((*key, number), {})[kind] = cell
