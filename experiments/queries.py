"""Predictions for files of one's own: a support set and queries are read, answers are written."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import methods
from experiments.methods import BLOCK
from experiments.prediction import MOST_SHARED, Predictions, Predictor, adapt
from fsjax.data.columns import (
    Modality,
    check_cells,
    check_filled,
    empty_rows,
    find_modalities,
)
from fsjax.data.csv_table import as_table, check_queries, labels_of, read_rows
from fsjax.data.precision import centred
from fsjax.data.sheet import Sheet, open_csv, open_folder
from fsjax.data.table import Table
from fsjax.types import Inputs

LABEL, GROUP = "label", "group"
READ = 4 * BLOCK  # queries that are in memory at once
SHOWN = 50  # queries of a page, whose inputs are kept


class Answers(NamedTuple):
    """Queries and what is predicted of them."""

    support: Sheet
    table: Table  # of the support set
    query: Sheet
    shown: Inputs  # of the first queries
    predictor: Predictor
    predictions: Predictions


def open_sheet(path: str | Path, *, labelled: bool) -> Sheet:
    """A CSV, or a folder of files.

    Raises:
      FileNotFoundError: if there is neither.
      ValueError: if it is faulty, or has no labels and is to have them.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}: name a CSV, or a folder of files")
    sheet = open_folder(path, label=LABEL) if path.is_dir() else open_csv(path)
    if labelled and path.is_dir() and LABEL not in sheet.header:
        raise ValueError(
            f"{path} has no class folders: put the files of each class into a folder of its name"
        )
    if labelled:
        labels_of(sheet, LABEL)
    return sheet


def answer(
    support: str | Path,
    query: str | Path,
    *,
    workdir: str | Path | None = None,
    model: str | None = None,
    features: str = "published",
    columns: Mapping[str, str] | None = None,
    risk: float | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Answers:
    """Adapts to a support set and predicts queries, each a CSV or a folder.

    Args:
      support: with labels.
      query: labels may be absent.
      workdir: of a run that was trained; nothing is trained unless given.
      model: of the run; the first unless given.
      features: without a run, as of `methods.untrained`.
      columns: modality -> columns of the support set, where that is to be said.
      risk: as of `adapt`.
      say: told what is read as what, and what is missing.

    Raises:
      ValueError: if a file is faulty, or does not fit the run; says where and how to mend it.
    """
    labelled, asked = open_sheet(support, labelled=True), open_sheet(query, labelled=False)
    method = methods.of_run(workdir, model) if workdir else None
    found = find_modalities(labelled, columns, skip=(LABEL, GROUP))
    found = _as_trained(found, labelled, method) if method and not columns else found
    found = _known(found, method, say)
    check_cells(labelled, found)
    if method is None:
        found = centred(labelled, found)
    if lacking := check_queries(asked, found):
        say(f"{query} has no column for {', '.join(lacking)}: missing in all rows")
    if method is None:
        check_filled(labelled, found)
        check_filled(asked, found)
    elif guessed := len(empty_rows(asked, found)):
        say(f"{guessed} of {len(asked.rows)} queries have none of {', '.join(found)}: guessed")
    columns_written(asked, labelled.column(LABEL), tuple(found), risk is not None)
    method = method or _untrained(found, features)
    say(method.about)
    table = as_table(labelled, found, method.sizes)
    predictor = adapt(table, method, risk=risk)
    if predictor.transductive:
        say(f"transductive: queries are predicted {BLOCK} at a time and share information")
    parts, shown = [], None
    for values, present in _blocks(asked, found, method):
        parts.append(predictor.predict(Inputs(values, present)))
        shown = shown or jax.tree.map(lambda x: x[:SHOWN], Inputs(values, present))
    together = Predictions(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    return Answers(labelled, table, asked, shown, predictor, together)


def _as_trained(
    found: Mapping[str, Modality], sheet: Sheet, method: methods.Method
) -> dict[str, Modality]:
    """Modalities, of the columns and in the order that a run has them where the sheet has these."""
    there = {m: x for m, x in method.columns.items() if set(x) <= set(sheet.header)}
    ours = find_modalities(sheet, there) if there else {}
    used = {column for modality in ours.values() for column in modality.columns}
    return {m: x for m, x in found.items() if not used & set(x.columns)} | ours


def _known(
    found: Mapping[str, Modality], method: methods.Method | None, say: Callable[[str], None]
) -> dict[str, Modality]:
    """The modalities that a method takes of those that were found."""
    known = {m: x for m, x in found.items() if method is None or m in method.rows}
    read = (f"{name} from {', '.join(modality.columns)}" for name, modality in known.items())
    say(f"reads {'; '.join(read) or 'nothing'}")
    if left := [name for name in found if name not in known]:
        say(f"does not read {', '.join(left)}, which the run does not know")
    if method and (lacking := [name for name in method.rows if name not in known]):
        say(f"the run also knows {', '.join(lacking)}: missing in all rows")
    if not known:
        raise ValueError(
            f"the run knows {', '.join(method.rows)}, and there is {', '.join(found)}: say which "
            f"columns are what the run knows, as in --columns {next(iter(method.rows))}:COLUMN"
        )
    return known


def _untrained(found: Mapping[str, Modality], features: str) -> methods.Method:
    kinds = {m: "text" if x.kind == "lines" else x.kind for m, x in found.items()}
    return methods.untrained(kinds, features=features)


def _blocks(
    sheet: Sheet, modalities: Mapping[str, Modality], method: methods.Method
) -> Iterator[tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    for start in range(0, len(sheet.rows), READ):
        yield read_rows(sheet, modalities, method.sizes, slice(start, start + READ))


def check_targets(out: Path, page: Path | None, *given: Path) -> None:
    """Checks before any work whether files can be written.

    Raises:
      ValueError: if an ending is wrong, or one would replace what is read.
      OSError: if a folder cannot be made.
    """
    for path, ending in ((out, ".csv"), (page, ".html")):
        if path is None:
            continue
        if path.suffix != ending or path.is_dir():
            raise ValueError(f"{path} is to be a file: name one that ends in {ending}")
        if path.resolve() in [each.resolve() for each in given]:
            raise ValueError(f"{path} is read and would be replaced: name another file to write")
        path.parent.mkdir(parents=True, exist_ok=True)


def columns_written(
    query: Sheet, classes: Sequence[str], modalities: tuple[str, ...], abstains: bool
) -> list[str]:
    """The names of the columns that are written beside those of the queries.

    Raises:
      ValueError: if the queries have one of that name.
    """
    names = ["predicted", *(f"p({name})" for name in classes), "none_of_these"]
    if len(modalities) <= MOST_SHARED:
        names += [f"contribution({name})" for name in modalities]
    names += ["abstain"] if abstains else []
    if twice := [name for name in names if name in query.header]:
        raise ValueError(
            f"{query.path} has a column {twice[0]}, as what is written would have: rename it"
        )
    return names


def write(answers: Answers, out: Path, *, abstains: bool = False) -> None:
    """Writes the queries' own columns and what is predicted, all at once.

    Args:
      answers: of `answer`.
      out: the CSV, which is replaced.
      abstains: whether there is a column "abstain", with that word or nothing.
    """
    predictor, found = answers.predictor, answers.predictions
    classes = list(predictor.classes)
    names = columns_written(answers.query, classes, predictor.modalities, abstains)
    part = out.with_name(out.name + ".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*answers.query.header, *names])
        for i, cells in enumerate(answers.query.rows):
            none = found.none_of_these[i]
            row = [*cells, classes[found.labels[i]]]
            row += [f"{p:.6f}" for p in found.probabilities[i]]
            row += ["" if np.isnan(none) else f"{none:.4f}"]
            row += [f"{share:.4f}" for share in found.contributions[i]]
            writer.writerow(row + (["abstain" if found.abstain[i] else ""] if abstains else []))
    os.replace(part, out)
