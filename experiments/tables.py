"""Lines of results as tables: text, Markdown, LaTeX and HTML."""

import html
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.kinds import KINDS, Kind
from experiments.names import setting
from experiments.runs import Line

# Results that differ in one of these answer different questions, so none is the better one.
QUESTION = ("data", "split", "missing", "queries", "apart", "episodes", "unknown", "risk")
CONDITIONS = ("run", *QUESTION, "modalities", "steps", "calibrated")
NOTHING = "No results yet."
SEEDS = "Means of seeds: (lowest..highest seed) in place of an interval."
TRANSDUCTIVE = "†: transductive, all queries seen at once; never best beside inductive results."
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "·": r"$\cdot$",
}
HTML = {c: html.escape(c) for c in "&<>\"'"}
MARKDOWN = {c: f"\\{c}" for c in "\\|*_`<["}


class Row(NamedTuple):
    """A row of a table as numbers."""

    label: str
    cells: dict[str, list[Line]]  # setting -> a line of each seed


class Cell(NamedTuple):
    """A cell of a table as words."""

    text: str
    strong: bool = False


class Grid(NamedTuple):
    """A table as words, which a format has only to write down."""

    rows: list[list[Cell]]  # the first is the header
    notes: list[str]  # {mark} stands for how the format shows a strong cell

    def written(self, escape: Mapping[str, str], strong: str) -> list[list[str]]:
        """The cells in a format: letters escaped, and `strong` around those that are."""
        letters = str.maketrans(dict(escape))
        return [
            [(strong if cell.strong else "{}").format(cell.text.translate(letters)) for cell in row]
            for row in self.rows
        ]

    def note(self) -> str:
        """All notes, for formats that show a strong cell in bold."""
        return " ".join(self.notes).format(mark="bold")


def alike(lines: Iterable[Line], kind: str = "result") -> list[Line]:
    """The lines of a kind that answer the first one's question, of the same run and seed.

    What tells the columns of the kind's table, if it has one, is no part of the question.
    """
    results = [line for line in lines if line.get("kind") == kind]
    column = KINDS[kind].column if kind in KINDS else ""
    keys = [key for key in ("run", "seed", *QUESTION) if key != column]
    return [line for line in results if all(line.get(k) == results[0].get(k) for k in keys)]


def figures(lines: Sequence[Line], field: str) -> tuple[float, float, float]:
    """Mean and ends, in percent: of the interval, or of the spread where there are seeds."""
    # Accuracies of episodes are float32: differences that add up to zero leave their rounding.
    values = [round(100 * line[field], 4) + 0.0 for line in lines]
    half = 100 * lines[0]["ci95"] if len(lines) == 1 else 0.0
    return float(np.mean(values)), min(values) - half, max(values) + half


def _name(line: Line) -> str:
    return f"{line['model']} - {line['against']}" if "against" in line else line["model"]


def _contest(lines: Sequence[Line], kind: Kind) -> str:
    """What two results must share to be rivals."""
    keys = (*QUESTION, *kind.rows, "seed")
    return repr([[_said(line, key) for key in keys] for line in lines])


def _said(line: Line, key: str) -> Any:
    return setting(line) if key == "setting" else line.get(key)


def _column(line: Line, kind: Kind) -> str:
    return f"{kind.column} {line[kind.column]}" if kind.column else setting(line)


def _place(line: Line, kind: Kind) -> tuple[float, ...]:
    """Where the line's column stands among others, as far as numbers tell."""
    value = line.get(kind.column)
    number = value if isinstance(value, int | float) else np.inf
    return line["ways"], np.max(line["shots"]), number


def _rows(chosen: Sequence[Line], kind: Kind) -> list[Row]:
    """The rows of a table: where there are several seeds first the means, then each seed."""
    seen: dict[tuple[str, str], set[str]] = {}
    for key, line in itertools.product(CONDITIONS, chosen):
        seen.setdefault((key, _name(line)), set()).add(repr(line.get(key)))
    varied = list(dict.fromkeys(key for (key, _), values in seen.items() if len(values) > 1))
    varied = [key for key in varied if key != kind.column]
    entries: dict[str, dict[str, dict[Any, Line]]] = {}
    for line in chosen:
        where = [f"{key} {line[key]}" for key in varied if key in line]
        told = [f"{key} {_said(line, key)}".removeprefix("setting ") for key in kind.rows]
        by_seed = entries.setdefault(" · ".join([_name(line), *told, *where]), {})
        # Of a result that was made again, the later one counts.
        by_seed.setdefault(_column(line, kind), {})[line.get("seed")] = line
    seeds = list(dict.fromkeys(line.get("seed") for line in chosen))
    rows = []
    for block in [seeds, *([seed] for seed in seeds)] if len(seeds) > 1 else [seeds]:
        for label, columns in entries.items():
            cells = {
                column: [line for seed, line in by_seed.items() if seed in block]
                for column, by_seed in columns.items()
            }
            count = max(map(len, cells.values()))
            if count < min(len(block), 2):
                continue
            # A mean of fewer seeds than the row tells is none of its figures.
            cells = {column: lines for column, lines in cells.items() if len(lines) == count}
            tail = f"mean of {count} seeds" if len(block) > 1 else f"seed {block[0]}"
            rows.append(Row(f"{label} · {tail}" if len(seeds) > 1 else label, cells))
    return rows


def _cell(rows: Sequence[Row], row: Row, column: str, kind: Kind) -> Cell:
    lines = row.cells.get(column)
    if not lines:
        return Cell("-")
    mean, low, high = figures(lines, kind.field)
    dagger = " †" if any(line.get("transductive") for line in lines) else ""
    if kind.best:
        # A transductive result is the best only where no rival is inductive.
        rivals = [each for r in rows if (each := r.cells.get(column))]
        rivals = [each for each in rivals if _contest(each, kind) == _contest(lines, kind)]
        rank = [
            (not each[0].get("transductive"), kind.best * figures(each, kind.field)[0])
            for each in rivals
        ]
        strong = len(rank) > 1 and (not dagger, kind.best * mean) == max(rank)
        sign = ""
    else:
        strong, sign = low > 0 or high < 0, "+"
    spread = f"± {high - mean:.1f}" if len(lines) == 1 else f"({low:{sign}.1f}..{high:{sign}.1f})"
    return Cell(f"{mean:{sign}.1f} {spread}{dagger}", strong)


def grids(lines: Iterable[Line]) -> list[Grid]:
    """A table of each kind of lines: results, paired differences ..., as far as there are any."""
    lines, made = list(lines), []
    for name, kind in KINDS.items():
        chosen = [line for line in lines if line.get("kind") == name]
        if kind.column:
            chosen.sort(key=lambda line: _place(line, kind)[:2])
        rows = _rows(chosen, kind)
        chosen.sort(key=lambda line: _place(line, kind)[2 * bool(kind.column) :])
        columns = list(dict.fromkeys(_column(line, kind) for line in chosen))
        corner = "model" if kind.best else "difference"
        cells = [[Cell(text) for text in (corner, *columns)]]
        cells += [[Cell(r.label), *(_cell(rows, r, c, kind) for c in columns)] for r in rows]
        notes = [kind.note]
        if any(len(each) > 1 for row in rows for each in row.cells.values()):
            notes.append(SEEDS)
        if any(line.get("transductive") for line in chosen):
            notes.append(TRANSDUCTIVE)
        made += [Grid(cells, notes)] if rows else []
    return made


def table(lines: Iterable[Line]) -> str:
    """Results and paired differences as aligned text.

    Args:
      lines: of results.jsonl; kinds that are not known are passed over.

    Returns:
      Text for a terminal.
    """
    parts = []
    for grid in grids(lines):
        labels, *columns = map(list, zip(*grid.written({}, "{} *"), strict=True))
        padded = [[label.ljust(max(map(len, labels))) for label in labels]]
        for column in columns:
            # Marks hang over, so that figures stand below each other.
            bare = [text.rstrip(" *†") for text in column]
            marks = [text[len(rest) :] for text, rest in zip(column, bare, strict=True)]
            right, left = max(map(len, bare)), max(map(len, marks))
            pairs = zip(bare, marks, strict=True)
            padded.append([rest.rjust(right) + mark.ljust(left) for rest, mark in pairs])
        parts += ["   ".join(row).rstrip() for row in zip(*padded, strict=True)]
        parts += ["", *(note.format(mark="*") for note in grid.notes), ""]
    return "\n".join(parts).rstrip() or NOTHING


def markdown(lines: Iterable[Line]) -> str:
    """The tables of `table` in Markdown."""
    parts = []
    for grid in grids(lines):
        rows = grid.written(MARKDOWN, "**{}**")
        rows.insert(1, [":--", *["--:"] * (len(rows[0]) - 1)])
        parts += [*(f"| {' | '.join(row)} |" for row in rows), "", grid.note(), ""]
    return "\n".join(parts).rstrip() or NOTHING


def latex(lines: Iterable[Line]) -> str:
    """The tables of `table` in LaTeX; they need the package booktabs."""
    parts = []
    for grid in grids(lines):
        header, *rows = (" & ".join(row) + r" \\" for row in grid.written(LATEX, r"\textbf{{{}}}"))
        parts += [rf"\begin{{tabular}}{{l{'r' * (len(grid.rows[0]) - 1)}}}", r"\toprule", header]
        parts += [r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""]
        parts += [grid.note().translate(str.maketrans(LATEX)), ""]
    return "\n".join(parts).rstrip() or f"% {NOTHING}"


def as_html(grid: Grid) -> str:
    """One table as an HTML element that scrolls sideways where the page is narrow."""
    header, *rows = grid.written(HTML, "<strong>{}</strong>")
    head = "".join(f'<th scope="col">{text}</th>' for text in header)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{t}</td>" for t in row[1:])}</tr>\n'
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f'<tbody>{body}</tbody></table></div>\n<p class="note">{html.escape(grid.note())}</p>\n'
    )
