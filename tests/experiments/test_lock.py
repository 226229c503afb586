"""One job at a time in a work directory, whatever became of the one before."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import lock

HOLD = (
    "import sys, time; from pathlib import Path; from experiments import lock\n"
    "with lock.held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


def test_a_job_that_holds_it_is_named_and_one_that_was_killed_does_not_hold_it(tmp_path):
    folder = tmp_path / "new" / "work"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        for _ in range(2):
            with (
                pytest.raises(ValueError, match="is in use by process") as caught,
                lock.held(folder),
            ):
                pass
        told = f"{folder} is in use by process {other.pid} on {socket.gethostname()}, since 20"
        assert told in str(caught.value) and "\n" not in str(caught.value)
        other.send_signal(signal.SIGKILL)
    with lock.held(folder):
        assert f"process {os.getpid()} " in (folder / lock.FILE).read_text()


def test_it_ends_with_the_block_and_holds_within_one_process_too(tmp_path):
    with lock.held(tmp_path):
        with pytest.raises(ValueError, match="in use"), lock.held(tmp_path):
            pass
        with pytest.raises(ValueError, match="in use"), lock.held(tmp_path):
            pass
    with lock.held(tmp_path):
        pass


def test_of_two_that_begin_at_once_one_has_it_and_the_other_is_told_so(tmp_path, monkeypatch):
    touch = Path.touch

    def both(path):
        touch(path)
        path.unlink()  # as the other one does in between

    monkeypatch.setattr(Path, "touch", both)
    with lock.held(tmp_path), pytest.raises(ValueError, match="in use"), lock.held(tmp_path):
        pass


def test_where_nothing_can_be_locked_a_job_goes_on_and_says_so(tmp_path, monkeypatch):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.warns(UserWarning, match="cannot be locked .*no other job"), lock.held(tmp_path):
        pass
