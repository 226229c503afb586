"""Names that configs and flags hold."""

from argparse import ArgumentTypeError
from pathlib import Path

import pytest

from experiments.names import as_path, check_name, count


def test_a_path_that_the_shell_left_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/of/a/user")
    assert as_path("~/run") == Path("/of/a/user/run")
    assert as_path("run") == Path("run")


def test_a_number_of_things_is_one_or_more():
    assert count("12") == 12
    for text in ("0", "-1", "1.5", "x", ""):
        with pytest.raises(ArgumentTypeError, match="is not 1 or more"):
            count(text)


def test_of_an_unknown_name_all_are_said_and_the_nearest():
    with pytest.raises(ValueError, match="one of maml, metric; did you mean 'maml'"):
        check_name(("maml", "metric"), "mam", "learner")
