"""Numbers of a sheet as float32: what it would round away, and what keeps it."""

import math
from collections.abc import Mapping

import numpy as np

from fsjax.data.columns import Modality
from fsjax.data.sheet import Sheet

LOST = 0.01  # most of a column's standard deviation that float32 may round away


def centred(sheet: Sheet, modalities: Mapping[str, Modality]) -> dict[str, Modality]:
    """The modalities, numbers less their means in a sheet whose cells have been checked.

    What differs by little beside a large mean, as times do, is then not lost in float32.
    """

    def less_mean(modality: Modality) -> Modality:
        if modality.kind != "numbers":
            return modality
        given = ([float(x) for x in sheet.column(name) if x] for name in modality.columns)
        return modality._replace(centre=tuple(math.fsum(x) / len(x) for x in given))

    return {name: less_mean(modality) for name, modality in modalities.items()}


def check_precision(sheet: Sheet, modalities: Mapping[str, Modality]) -> None:
    """Checks that numbers, of cells that have been checked, are told apart in float32.

    Raises:
      ValueError: if a column differs by too little beside its mean; names it and the mend.
    """
    for modality in modalities.values():
        if modality.kind != "numbers":
            continue
        centre = np.broadcast_to(modality.centre, len(modality.columns))
        for column, middle in zip(modality.columns, centre, strict=True):
            x = np.array([float(cell) for cell in sheet.column(column) if cell]) - middle
            lost = np.abs(x.astype(np.float32) - x).mean()
            if np.ptp(x) > 0 and lost > LOST * x.std():
                raise ValueError(
                    f"{sheet.path}: the column {column} differs by about {x.std():.2g} beside a "
                    f"mean of {x.mean():.6g}, of which float32 loses {lost:.2g}; subtract "
                    f"{x.mean():.0f} from all of its cells"
                )
