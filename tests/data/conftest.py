"""Data sets that are not part of the project."""

import os
from pathlib import Path

import pytest

DATA = Path(os.environ.get("FSJAX_DATA", Path(__file__).parents[3] / "shared" / "data"))


def path_of(name: str) -> Path:
    """The path of a data set; a test that needs it is skipped where it is not."""
    if not (DATA / name).is_file():
        pytest.skip(f"{name} is not in {DATA}; set FSJAX_DATA to the folder that holds it")
    return DATA / name


@pytest.fixture
def needs():
    return path_of
