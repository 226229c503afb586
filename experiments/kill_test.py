"""Kills a small run again and again, and compares how it ends with a run that nothing disturbed.

    python -m experiments.kill_test [--kills 50] [--seed 0] [--folder DIR]

Kills come at random moments while the run starts, trains or writes a checkpoint, by SIGKILL and
SIGTERM by turns; after each, the same command goes on. It fails unless the last state (parameters,
optimiser, random key, best) and the results are equal bit for bit. DIR keeps both runs and a log.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments import build, jobs, results
from experiments.evaluate import load_config
from experiments.names import as_path, count
from experiments.stopping import RUN_AGAIN
from fsjax.data.pool import make_pool
from fsjax.training.checkpoint import UNFINISHED, Checkpoints
from fsjax.types import TrainState

MODEL, CHUNK = "prototype", 5
CHUNKS_A_KILL = 3  # at most, nearly always: so many are asked for that the run outlives its kills
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
MOMENTS = ("starting", "training", "saving")


class Pace(NamedTuple):
    """Seconds that the run takes when nothing disturbs it."""

    start: float  # until the first chunk is done
    chunk: float


class Kill(NamedTuple):
    """How a session of the run ended."""

    signal: signal.Signals
    moment: str
    code: int
    torn: bool  # a checkpoint was half written


def command(folder: Path, name: str, kills: int) -> list[str]:
    """The command of a run in a folder that has its data."""
    keys = {
        "data.name": "npz",
        "data.path": folder / "data.npz",
        "data.columns": "tabular:numbers",
        "modalities": "tabular",
        "fusion": "plain",
        "compare": "",
        "apart": False,
        "train.ways": 3,
        "train.steps": CHUNK * CHUNKS_A_KILL * (kills + 1),
        "train.chunk": CHUNK,
        "validation.ways": 3,
        "validation.episodes": 20,
        "test.settings": "((3,1),)",
        "test.episodes": 20,
    }
    flags = [f"--config.{key}={value}" for key, value in keys.items()]
    return [sys.executable, "-m", "experiments.train", *flags, f"--workdir={folder / name}"]


def write_data(path: Path) -> None:
    """Sixty classes of six rows of four numbers."""
    numbers = np.random.default_rng(0)
    labels = np.repeat(np.arange(60), 6)
    rows = numbers.normal(size=(60, 4))[labels] + 0.3 * numbers.normal(size=(360, 4))
    np.savez(path, cls=labels, numbers=rows.astype(np.float32))


def begin(asked: list[str], folder: Path) -> subprocess.Popen:
    """Starts a command whose programs are compiled once for all sessions."""
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            asked, cwd=Path(__file__).parents[1], env=environment, stdout=log, stderr=log
        )


def undisturbed(asked: list[str], folder: Path, workdir: Path) -> Pace:
    """Runs a command to its end.

    Raises:
      RuntimeError: if it fails.
    """
    start = time.monotonic()
    process = begin(asked, folder)
    _wait_for(process, lambda: _lines(workdir) > 0)
    first = time.monotonic()
    _finish(process, folder)
    return Pace(first - start, (time.monotonic() - first) / _lines(workdir))


def kill(
    asked: list[str],
    folder: Path,
    workdir: Path,
    *,
    by: signal.Signals,
    moment: str,
    pace: Pace,
    draw: random.Random,
) -> Kill:
    """One session of a run that is killed at a moment.

    Raises:
      RuntimeError: if it ended otherwise.
    """
    since, lines = time.time(), _lines(workdir)
    process = begin(asked, folder)
    if moment == "starting":
        until = time.time() + draw.uniform(0, pace.start)
        _wait_for(process, lambda: time.time() > until or _lines(workdir, since) > lines)
    elif moment == "training":
        more = draw.randint(1, CHUNKS_A_KILL - 1)
        # Those of a chunk that was not saved are taken back when the run goes on.
        _wait_for(process, lambda: _lines(workdir, since) >= lines + more)
        time.sleep(draw.uniform(0, pace.chunk))
    else:
        # On a busy machine a whole save may pass between two looks.
        enough = lines + CHUNKS_A_KILL
        _wait_for(process, lambda: _saving(workdir, since) or _lines(workdir, since) >= enough)
        moment = moment if _saving(workdir, since) else "training"
    process.send_signal(by)
    code = process.wait()
    # Before it listens, SIGTERM ends it as SIGKILL does.
    if code not in ((-by, RUN_AGAIN) if by == signal.SIGTERM else (-by,)):
        raise RuntimeError(f"ended with {code} after {by.name} while {moment}: {_tail(folder)}")
    return Kill(by, moment, code, _saving(workdir, since))


def last_state(workdir: Path) -> TrainState:
    """The state that a run ended with."""
    config = build.models(load_config(workdir))[MODEL]
    job = jobs.prepare(config, make_pool(build.tables(config)["train"]))
    folder = workdir / "models" / MODEL / "checkpoints"
    return Checkpoints(folder, results.plain(config)).restore(job.state)


def different(a: Path, b: Path) -> list[str]:
    """What of the last states and results of two runs is not equal bit for bit."""

    def bits(state: TrainState) -> dict[str, bytes]:
        plain = state._replace(key=jax.random.key_data(state.key))
        leaves = jax.tree_util.tree_leaves_with_path(plain)
        return {jax.tree_util.keystr(path): np.asarray(x).tobytes() for path, x in leaves}

    def lines(workdir: Path) -> list[dict[str, Any]]:
        return [line | {"seconds": 0} for line in results.read_lines(workdir / "results.jsonl")]

    first, second = bits(last_state(a)), bits(last_state(b))
    found = [name for name in first if first[name] != second.get(name)]
    return found + ["results.jsonl"] * (lines(a) != lines(b))


def _metrics(workdir: Path) -> Path:
    return workdir / "models" / MODEL / "metrics.jsonl"


def _lines(workdir: Path, since: float = 0.0) -> int:
    """Chunks noted, if any was since then."""
    path = _metrics(workdir)
    there = path.exists() and path.stat().st_mtime >= since
    return path.read_bytes().count(b"\n") if there else 0


def _saving(workdir: Path, since: float) -> bool:
    """Whether a checkpoint is half written, and was begun since then."""
    for part in (workdir / "models" / MODEL / "checkpoints").glob(UNFINISHED):
        try:
            if part.stat().st_mtime >= since:
                return True
        except FileNotFoundError:  # it has been finished meanwhile
            pass
    return False


def _wait_for(process: subprocess.Popen, what: Callable[[], bool]) -> None:
    while process.poll() is None and not what():
        time.sleep(0.002)


def _finish(process: subprocess.Popen, folder: Path) -> None:
    if code := process.wait():
        raise RuntimeError(f"ended with {code}: {_tail(folder)}")


def _tail(folder: Path) -> str:
    return (folder / "log.txt").read_text()[-2000:]


def main(argv: Sequence[str] | None = None) -> None:
    """Kills as often as the arguments ask, and tells how the run ended."""
    parser = argparse.ArgumentParser(prog="python -m experiments.kill_test", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kills", type=count, default=50)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=as_path, help="an empty one; a temporary one by default")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SystemExit(f"{parser.prog}: {folder} is not empty; name another with --folder")
        told = run(folder, args.kills, random.Random(args.seed))
    print(told)


def run(folder: Path, kills: int, draw: random.Random) -> str:
    """Both runs in a folder, and how they compare in a sentence.

    Raises:
      SystemExit: if they do not end alike.
      RuntimeError: if a session ended as none should.
    """
    write_data(folder / "data.npz")
    whole, killed = folder / "undisturbed", folder / "killed"
    # Compiles all programs, so that the pace is that of sessions which find them.
    undisturbed(command(folder, "first", 0), folder, folder / "first")
    pace = undisturbed(command(folder, whole.name, kills), folder, whole)
    asked = command(folder, killed.name, kills)
    ended = []
    for i in range(kills):
        by, moment = SIGNALS[i % 2], draw.choice(MOMENTS)
        one = kill(asked, folder, killed, by=by, moment=moment, pace=pace, draw=draw)
        print(f"kill {i + 1}: {by.name} while {one.moment}, ended with {one.code}", flush=True)
        ended.append(one)
    _finish(begin(asked, folder), folder)
    by, at = (Counter(x) for x in zip(*((k.signal.name, k.moment) for k in ended), strict=True))
    counts = ", ".join(f"{number} {what}" for what, number in (by | at).items())
    torn = sum(one.torn for one in ended)
    if found := different(whole, killed):
        raise SystemExit(f"{kills} kills ({counts}): not equal in {', '.join(found)}")
    return (
        f"{kills} kills ({counts}; {torn} left a checkpoint half written): "
        "last state and results equal bit for bit"
    )


if __name__ == "__main__":
    main()
