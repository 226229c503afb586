"""The import star of DESIGN.md, checked on the syntax tree."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "fsjax"
ROOMS = sorted(path.name for path in ROOT.iterdir() if (path / "__init__.py").exists())
ALLOWED = {room: {"types", room} for room in ROOMS}
ALLOWED["learners"] |= {"heads"}
FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """The modules that a file imports, by their full names."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def rooms_imported(path: Path) -> set[str]:
    ours = [name.split(".") for name in imported(path) if name.split(".")[0] == "fsjax"]
    return {parts[1] for parts in ours if len(parts) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_the_star_allows(path):
    parts = path.relative_to(ROOT).parts
    if parts == ("types.py",):
        assert rooms_imported(path) == set()
    elif len(parts) > 1:
        assert rooms_imported(path) <= ALLOWED[parts[0]]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_library_imports_neither_experiments_nor_another_framework(path):
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"experiments", "tests", "torch", "learn2learn", "tensorflow"}


def test_all_rooms_of_the_design_that_exist_are_packages():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and path.name[0] != "_"}
    assert folders == set(ROOMS)
