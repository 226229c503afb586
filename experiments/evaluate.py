"""Evaluates the models of a trained run in other settings, on the test classes.

    python -m experiments.evaluate --workdir DIR [--settings 10x1 10x5] [--queries N]
        [--episodes N] [--models NAME ...] [--shared-groups] [--calibrate] [--risk SHARE]
        [--unknown N]
        [--missing RATES] [--patterns SUPPORT>QUERY] [--corrupt MODALITY:HOW:LEVEL]
        [--data KEY=VALUE ... --out DIR]

Results are added to the run's results.jsonl, and the report is made again. With --data they are of
other data, as in --data name=csv path=other.csv (keys of config.data), all of whose classes are
tested unless splits are named, and results and report go to the folder --out.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from experiments import (
    build,
    comparing,
    compiled,
    conditions,
    devices,
    elsewhere,
    fitting,
    jobs,
    lock,
    report,
    results,
    scoring,
    tables,
)
from experiments.configs.emoji import get_config
from experiments.names import as_path, check_name
from experiments.runs import TRAINED_IN, read_config, trained_in
from fsjax.data.pool import make_pool


def load_config(workdir: str | Path) -> ConfigDict:
    """The config of a run.

    Raises:
      ValueError: if the folder holds no run, or those of several seeds, or tests of another's
        models, or it is damaged.
    """
    if trained := trained_in(Path(workdir)):
        raise ValueError(
            f"{workdir} holds no models, but tests of those of {trained} on other data: name that"
        )
    settings = read_config(Path(workdir))
    if not settings:
        raise ValueError(f"{workdir} holds no run: there is no config.json; train one there first")
    # Keys that the run's version did not know yet have their default.
    config = get_config()
    config.update(settings)
    if config.seeds > 1:
        raise ValueError(
            f"{workdir} holds runs of {config.seeds} seeds: name one of them, as "
            f"{workdir / f'seed={config.seed}'}"
        )
    return config


def evaluate_run(
    workdir: str | Path,
    trained: ConfigDict,
    asked: ConfigDict,
    models: Sequence[str] = (),
    out: str | Path | None = None,
) -> list[dict[str, Any]]:
    """Restores models of a run and evaluates them in the settings of another config.

    Args:
      workdir: of the run.
      trained: its config.
      asked: the same with other values of `test` or `apart`, or with other data.
      models: names; all of the run if there are none.
      out: folder of the results on other data; the run's own otherwise.

    Returns:
      The lines that were added to results.jsonl.

    Raises:
      ValueError: if a model is not of the run or was not trained, a number is impossible, a class
        is too small, or another job uses the directory.
      SystemExit: if the directory cannot be written, or the other holds another run.
    """
    workdir = Path(workdir)
    with lock.held(workdir):
        if out is None:
            return _evaluate(workdir, trained, asked, models, workdir)
        with lock.held(Path(out)):
            noted = trained.copy_and_resolve_references()
            noted.data = asked.data
            results.open_workdir(Path(out), results.plain(noted))
            return _evaluate(workdir, trained, asked, models, Path(out))


def _evaluate(
    workdir: Path, trained: ConfigDict, asked: ConfigDict, models: Sequence[str], out: Path
) -> list[dict[str, Any]]:
    names = list(build.models(trained))
    for name in models:
        check_name(names, name, "--models")
    chosen = [name for name in names if name in (models or names)]
    if out == workdir:
        data = build.prepared(asked, chosen)
    else:
        data = elsewhere.prepared(trained, asked, chosen)
        if told := elsewhere.told_twice(data):
            print(told, file=sys.stderr)
    data = build.seen_by_models(trained, data)
    pools = {
        split: devices.everywhere(asked, make_pool(part)) for split, part in data.tables.items()
    }
    lines = []
    for name in chosen:
        job = jobs.prepare(build.models(trained)[name], pools["train"])
        params = fitting.trained_params(job, workdir / "models" / name)
        params = jobs.chosen(job.config, job.model, params, pools["validation"])
        scored = scoring.Scored(name, build.models(asked)[name], job.model, params, pools)
        plain = scoring.test(scored, out)
        lines += plain + conditions.test(scored, plain, out)
    lines += comparing.compare(chosen, asked, out, workdir)
    lines += conditions.compare(chosen, asked, lines, out)
    results.append_new(out / "results.jsonl", lines)
    if out != workdir:
        results.write_json(out / TRAINED_IN, str(workdir.resolve()))
    report.write_report([out], out / "report.html")
    return lines


def setting(text: str) -> tuple[int, int | tuple[int, int]]:
    """Ways and shots of a text like 5x1, or 5x1-3: between so many shots of each class."""
    ways, shots = text.split("x")
    low, dash, high = shots.partition("-")
    return int(ways), (int(low), int(high)) if dash else int(low)


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluates as the arguments ask and prints the results."""
    parser = argparse.ArgumentParser(prog="python -m experiments.evaluate", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--workdir", type=as_path, required=True, help="of a run that was trained")
    parser.add_argument(
        "--settings", type=setting, nargs="+", help="ways x shots, as in 5x1 or 5x1-3"
    )
    parser.add_argument("--queries", type=int, help="query rows of a class")
    parser.add_argument("--episodes", type=int, help="episodes of a setting")
    parser.add_argument("--models", nargs="+", default=(), help="names of models of the run")
    parser.add_argument(
        "--shared-groups",
        action="store_true",
        help="support and query may come from one group, as one design team",
    )
    parser.add_argument(
        "--calibrate", action="store_true", help="choose a temperature on validation"
    )
    parser.add_argument("--risk", type=float, default=0.0, help="share of answers that are wrong")
    parser.add_argument("--unknown", type=int, default=0, help="classes of which only queries come")
    parser.add_argument("--missing", default="", help="rates, as in 0.0,0.5 or 0.5>0.0")
    parser.add_argument("--patterns", default="", help="support>query, as in text>image,image>text")
    parser.add_argument("--corrupt", default="", help="as in image:noise:1.0,audio:babble:0")
    parser.add_argument("--data", nargs="+", metavar="KEY=VALUE", default=(), help="other data")
    parser.add_argument("--out", type=as_path, help="folder of the results on other data")
    args = parser.parse_args(argv)
    compiled.keep()
    try:
        trained = load_config(args.workdir)
        devices.cores_as_devices(trained)
        if bool(args.data) != bool(args.out):
            raise ValueError("--data and --out go together: other data, and where results go")
        if args.out and args.out.resolve() == args.workdir.resolve():
            raise ValueError(f"--out {args.out} is the folder of the run: name another")
        asked = elsewhere.config_of(trained, args.data) if args.data else trained
        asked = asked.copy_and_resolve_references()
        for key in ("settings", "queries", "episodes"):
            if (given := getattr(args, key)) is not None:
                asked.test[key] = given
        asked.test.update(calibrate=args.calibrate, unknown=args.unknown, risk=args.risk)
        asked.test.update(missing=args.missing, patterns=args.patterns, corrupt=args.corrupt)
        asked.apart = asked.apart and not args.shared_groups
        lines = evaluate_run(args.workdir, trained, asked, args.models, args.out)
    except (ValueError, OSError, ImportError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    print(tables.table(lines))


if __name__ == "__main__":
    main()
