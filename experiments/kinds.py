"""The kinds of lines of results that have a table of their own."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A kind of lines that has a table of its own."""

    field: str
    best: int  # 1 the largest of a column, -1 the least, 0 what is not zero
    note: str
    column: str = ""  # the key whose values are columns; the setting of ways and shots unless named
    rows: tuple[str, ...] = ()  # further keys that tell a row from others


def _under_conditions(kind: str, column: str, rows: tuple[str, ...], what: str) -> dict[str, Kind]:
    """Results of models under conditions, and their differences."""
    accuracy = f"Accuracy in % ± half its 95% interval {what}; {{mark}}: best of the column."
    differences = (
        f"Differences in points {what}, paired by episode, ± half their 95% interval; {{mark}}: "
        "zero is excluded."
    )
    return {
        kind: Kind("accuracy", 1, accuracy, column, ("setting", *rows)),
        f"{kind}_comparison": Kind("difference", 0, differences, column, ("setting", *rows)),
    }


KINDS = {
    "result": Kind(
        "accuracy", 1, "Accuracy in % ± half its 95% interval; {mark}: best of the column."
    ),
    "comparison": Kind(
        "difference",
        0,
        "Differences in points, paired by episode, ± half their 95% interval; {mark}: zero is "
        "excluded. Where it is not, the two may be equal.",
    ),
    "open_set": Kind(
        "auroc",
        1,
        "Area under the ROC curve in % ± half its 95% interval, by which the largest logit tells "
        "queries of known classes from queries of unknown ones; {mark}: best of the column.",
    ),
    "answered": Kind(
        "answered",
        1,
        "Queries in % ± half the 95% interval that are answered, from the confidence on at which "
        "on validation no more answers are wrong than the risk; {mark}: best of the column.",
    ),
    "wrong": Kind(
        "wrong",
        -1,
        "Answers of those in % ± half the 95% interval that are wrong; {mark}: least of the "
        "column.",
    ),
    "calibration": Kind(
        "ece",
        -1,
        "Expected calibration error in % ± half its 95% interval, as the model is and at the "
        "temperature chosen on validation; {mark}: least of the column.",
    ),
    **_under_conditions(
        "missing",
        "missing",
        (),
        "where modalities of rows are missing at a rate; a model that sees nothing of a row "
        "guesses, and 'best present' is for each query the best of the modalities it has, alone",
    ),
    **_under_conditions(
        "cross",
        "query",
        ("support",),
        "where support and query are seen through the modalities named",
    ),
    **_under_conditions("corrupt", "corrupt", (), "where values of a modality are corrupted"),
}
