"""Names that configs and flags hold."""

from pathlib import Path

import pytest

from experiments.names import as_path, check_name


def test_a_path_that_the_shell_left_begins_at_home(monkeypatch):
    monkeypatch.setenv("HOME", "/of/a/user")
    assert as_path("~/run") == Path("/of/a/user/run")
    assert as_path("run") == Path("run")


def test_of_an_unknown_name_all_are_said_and_the_nearest():
    with pytest.raises(ValueError, match="one of maml, metric; did you mean 'maml'"):
        check_name(("maml", "metric"), "mam", "learner")
