"""A run that is asked to stop: by signals, by a model that failed; and how its process ends."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from experiments.stopping import SIGNALS, Stop, Stopped, leave, on_signals, side_by_side
from fsjax.training.loop import Diverged


def test_importing_installs_no_handler():
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_asks_and_what_listened_before_listens_again(number, capfd):
    before = [signal.getsignal(each) for each in SIGNALS]
    with on_signals() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        with pytest.raises(Stopped):
            stop.after_chunk(None, None)
        os.kill(os.getpid(), signal.SIGTERM)  # some send it twice
    assert stop.signal == number
    assert f"{number.name}: stops when the running chunk is saved" in capfd.readouterr().err
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_the_second_ctrl_c_is_not_held_back():
    with on_signals():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


@pytest.mark.parametrize(("number", "code"), [(15, 75), (signal.SIGUSR1, 75), (2, 130)])
def test_the_process_ends_with_a_code_and_the_command_that_goes_on(
    number, code, capsys, monkeypatch
):
    command = ["python", "-m", "experiments.train", "--config.compare=a b"]
    stop = Stop()
    stop.ask(signal.Signals(number))
    for given, end in ([], " --workdir=runs/x"), (["--workdir", "y"], " --workdir y"):
        monkeypatch.setattr(sys, "orig_argv", command + given)
        with pytest.raises(SystemExit) as ended:
            leave(stop, Path("runs/x"))
        assert ended.value.code == code
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"stopped by {signal.Signals(number).name}, all saved; go on with:")
        assert line.endswith("python -m experiments.train '--config.compare=a b'" + end)


def test_results_come_in_the_order_of_names():
    def slow_first(name):
        last.wait(10) if name == "a" else last.set()
        return name.upper()

    last = threading.Event()
    assert list(side_by_side(slow_first, "ab", threads=2, stop=Stop())) == ["A", "B"]


def test_when_one_fails_the_others_stop_and_its_error_is_the_one_that_is_raised():
    stop, began = Stop(), []

    def train(name):
        began.append(name)
        if name == "b":
            raise Diverged("the loss became nan")
        for _ in range(10_000):
            stop._asked.wait(0.001)
            stop.check()
        pytest.fail("nobody stopped it")

    with pytest.raises(Diverged, match="b: the loss became nan"):
        list(side_by_side(train, "abc", threads=2, stop=stop))
    assert "c" not in began


def test_all_stop_when_asked_and_when_what_takes_the_results_fails():
    stop, waiting = Stop(), threading.Event()

    def train(name):
        if name == "a":
            return name
        waiting.set()
        assert stop._asked.wait(10)
        stop.check()

    results = side_by_side(train, "ab", threads=2, stop=stop)
    next(results)
    assert waiting.wait(10)
    results.close()
    with pytest.raises(Stopped):
        list(side_by_side(train, "b", threads=1, stop=stop))
