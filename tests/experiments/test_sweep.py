"""Sweeps: what is planned, which runs go wrong, and that one report tells of all others."""

from pathlib import Path

import pytest
from jax.errors import JaxRuntimeError

from experiments import sweep
from experiments.configs import emoji
from experiments.runs import Run
from experiments.stopping import Stop, Stopped, side_by_side
from fsjax.training.loop import Diverged

CONFIG = "experiments/configs/smoke.py"


def test_a_grid_is_every_value_with_every_other_in_folders_of_their_own():
    grid = {"seed": ["0", "1"], "train.learning_rate": ["1e-3", "0.01", "1"]}
    runs = sweep.plan([CONFIG, "experiments/configs/emoji.py"], grid, {"head": "ridge"})
    assert len({run.name for run in runs}) == len(runs) == 12
    assert runs[1].name == "smoke-seed=0-train.learning_rate=0.01"
    found = [(r.config.seed, r.config.train.learning_rate, r.config.train.steps) for r in runs]
    assert found[:3] == [(0, 1e-3, 20), (0, 0.01, 20), (0, 1.0, 20)] and found[-1] == (1, 1.0, 400)
    assert all(run.config.head == "ridge" for run in runs)


def test_a_sample_is_the_same_points_every_time_and_none_twice():
    grid = {"seed": list(map(str, range(50)))}
    names = [[run.name for run in sweep.plan([CONFIG], grid, {}, sample=5)] for _ in range(2)]
    assert names[0] == names[1] and len(set(names[0])) == 5


def test_a_name_behind_the_file_is_given_to_its_config(tmp_path):
    (tmp_path / "named.py").write_text(
        "from experiments.configs import emoji\n"
        "def get_config(name):\n"
        "    config = emoji.get_config()\n"
        "    config.head = name\n"
        "    return config\n"
    )
    (run,) = sweep.plan([f"{tmp_path}/named.py:ridge"], {}, {})
    assert (run.name, run.config.head) == ("named-ridge", "ridge")
    with pytest.raises(ValueError, match=r"wants a name: write .*named\.py:NAME"):
        sweep.plan([f"{tmp_path}/named.py"], {}, {})
    with pytest.raises(ValueError, match=r"smoke\.py:ridge takes no name: write .*smoke\.py$"):
        sweep.plan([f"{CONFIG}:ridge"], {}, {})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train.step", "5", "no key 'train.step'"),
        ("train", "5", "no key 'train'"),
        ("head.steps", "5", "no key"),
        ("train.steps", "many", "not of the type int"),
        ("train.steps", "0.5", "not of the type int"),
        ("train.learning_rate", "fast", "not of the type float"),
        ("apart", "'no'", "not of the type bool"),
    ],
)
def test_a_wrong_key_or_value_is_named(key, value, message):
    with pytest.raises(ValueError, match=message):
        sweep.assign(emoji.get_config(), key, value)


def test_what_is_no_config_or_a_value_twice_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"absent\.py is no config"):
        sweep.plan([str(tmp_path / "absent.py")], {}, {})
    (tmp_path / "empty.py").write_text("")
    with pytest.raises(ValueError, match=r"empty\.py is no config"):
        sweep.plan([str(tmp_path / "empty.py")], {}, {})
    with pytest.raises(ValueError, match="there is no run"):
        sweep.plan([CONFIG], {"seed": []}, {})
    for sample in (0, -1):
        with pytest.raises(ValueError, match=f"a sample of {sample} is no run"):
            sweep.plan([CONFIG], {"seed": ["1", "2"]}, {}, sample)
    with pytest.raises(ValueError, match="share the folder smoke-seed=1"):
        sweep.plan([CONFIG], {"seed": ["1", "1"]}, {})


@pytest.fixture
def training(monkeypatch, make_bare):
    """Runs that end at once, or as `ends` says."""
    ends, begun = {}, []

    def train(config, workdir, stop):
        begun.append(workdir.name)
        if config.seed in ends:
            raise ends[config.seed]
        workdir.mkdir(parents=True)
        make_bare(workdir, seed=config.seed)

    monkeypatch.setattr(sweep.train, "train", train)
    monkeypatch.delenv(sweep.TASK, raising=False)
    return ends, begun


def ask(tmp_path, *more):
    grid = ("--grid", "seed", "0", "1", "2")
    sweep.main(["--configs", CONFIG, *grid, "--workdir", str(tmp_path), *more])


def test_all_runs_are_told_in_one_table_and_page(training, tmp_path, capsys):
    ask(tmp_path)
    assert "mean of 3 seeds" in capsys.readouterr().out
    assert "mean of 3 seeds" in (tmp_path / "report.html").read_text()


def test_runs_are_ranked_by_what_they_reached_on_validation():
    reached = {"slow": {"prototype": [0.3, 0.4]}, "fast": {"prototype": [0.5], "raw": []}}
    reached |= {"both": {"image": [0.7, 0.6], "text": [0.1]}, "untrained": {}}
    runs = [
        Run(Path(name), {}, [], {m: [{"validation": x} for x in xs] for m, xs in of.items()}, {})
        for name, of in reached.items()
    ]
    told = sweep.by_validation(runs)
    assert told == ["both: image 70.0%", "fast: prototype 50.0%", "slow: prototype 40.0%"]


@pytest.mark.parametrize("error", [Diverged, ImportError, JaxRuntimeError])
def test_a_run_that_fails_takes_no_other_with_it_and_is_named_at_the_end(
    training, tmp_path, capsys, error
):
    ends, begun = training
    ends[1] = error("the loss is no longer finite")
    with pytest.raises(SystemExit, match="1 of 3 runs failed: smoke-seed=1"):
        ask(tmp_path)
    assert len(begun) == 3
    assert "the loss is no longer finite" in capsys.readouterr().out
    assert "mean of 2 seeds" in (tmp_path / "report.html").read_text()


def test_a_task_of_an_array_takes_its_run_alone(training, tmp_path, monkeypatch, capsys):
    _, begun = training
    monkeypatch.setenv(sweep.TASK, "2")
    ask(tmp_path)
    assert begun == ["smoke-seed=2"] and not (tmp_path / "report.html").exists()
    ask(tmp_path, "--only", "0", "--list")
    assert begun == ["smoke-seed=2"] and "0: smoke-seed=0" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="no run 3"):
        ask(tmp_path, "--only", "3")


@pytest.mark.parametrize("again", [("--grid", "seed", "3"), ("--set", "seed", "3")])
def test_a_key_that_is_given_twice_is_named(training, tmp_path, again):
    with pytest.raises(SystemExit, match="seed is given twice"):
        ask(tmp_path, *again)
    assert not training[1]


def test_of_the_models_of_a_run_that_fails_no_other_run_is_stopped(tmp_path, monkeypatch):
    tested = []

    def fails_at_first(config, workdir, stop):
        def model(name):
            if config.seed == 0:
                raise Diverged("the loss is no longer finite")
            tested.append(name)

        list(side_by_side(model, ["a"], threads=1, stop=stop))

    monkeypatch.setattr(sweep.train, "_one", fails_at_first)
    runs = sweep.plan([CONFIG], {"seed": ["0", "1"]}, {})
    stop = Stop()
    assert list(sweep.sweep(runs, tmp_path, stop)) == ["smoke-seed=0"]
    assert tested == ["a"]
    stop.ask()
    with pytest.raises(Stopped):
        sweep.sweep(runs, tmp_path, stop)
