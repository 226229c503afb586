"""One page, and tables in Markdown and LaTeX, from any number of runs.

python -m experiments.report DIR ... [--out FILE]
"""

import argparse
import html
import itertools
import json
import shlex
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import plots

Line = Mapping[str, Any]

# What a line must have to stand in a table; lines of other kinds are passed over.
NEEDED = {
    "result": ("model", "ways", "shots", "accuracy", "ci95"),
    "comparison": ("model", "against", "ways", "shots", "difference", "ci95"),
}
# Results that differ in one of these answer different questions, so none is the better one.
QUESTION = ("data", "split", "missing", "queries", "apart")
CONDITIONS = ("run", *QUESTION, "modalities", "steps")
MARK, NOTHING = "{mark}", "No results yet."
NOTES = {
    "result": "Accuracy in % ± half its 95% interval; {mark}: best of the column.",
    "comparison": "Differences in points, paired by episode, ± half their 95% interval; {mark}: "
    "zero is excluded. Where it is not, the two may be equal.",
}
TRANSDUCTIVE = "†: transductive, all queries seen at once; never best beside inductive results."
LATEX = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "·": r"$\cdot$",
}
HTML = {c: html.escape(c) for c in "&<>\"'"}
MARKDOWN = {c: f"\\{c}" for c in "\\|*_`<["}
CSS = """*{box-sizing:border-box}
body{margin:0 auto;padding:2rem 1.25rem 4rem;max-width:62rem;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:3rem 0 .5rem;padding-top:1.5rem;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:2.25rem 0 .5rem}
p{max-width:44rem;margin:.5rem 0}
.lead{font-size:1.1rem}.note,figcaption,.missing{color:var(--muted);font-size:.875rem}
.scroll{overflow-x:auto;margin:1rem 0 .5rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;white-space:nowrap}
th,td{padding:.4rem 1rem .4rem 0;text-align:right;border-bottom:1px solid var(--line)}
th:first-child{text-align:left;font-weight:500}
thead th{color:var(--muted);font-weight:500;font-size:.875rem}
td strong{color:var(--s0);font-weight:650}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(20rem,100%),1fr));gap:1.5rem}
figure{margin:1rem 0;min-width:0}figure .scroll{margin:0 0 .4rem}
svg{display:block;width:100%;height:auto}.wide svg{min-width:30rem}
.legend{display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;list-style:none;margin:.75rem 0 0;padding:0;
font-size:.875rem}
details{margin:.75rem 0}summary{cursor:pointer;font-weight:500}
pre{overflow-x:auto;background:var(--panel);border-radius:.4rem;padding:.8rem 1rem;font-size:.8rem;
line-height:1.5}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1.25rem;font-size:.925rem}
dt{color:var(--muted)}dd{margin:0;overflow-wrap:anywhere}
"""


class Run(NamedTuple):
    """What a work directory holds; a part that is not there is empty."""

    folder: Path
    config: dict[str, Any]
    lines: list[Line]  # results.jsonl
    metrics: dict[str, list[Line]]  # model -> metrics.jsonl
    inspection: dict[str, np.ndarray]


class Row(NamedTuple):
    """A row of a table as numbers."""

    label: str
    cells: dict[str, list[Line]]  # setting -> a line of each seed


class Cell(NamedTuple):
    """A cell of a table as words."""

    text: str
    strong: bool = False


class Grid(NamedTuple):
    """A table as words, which a format has only to write down."""

    rows: list[list[Cell]]  # the first is the header
    notes: list[str]  # MARK stands for how the format shows a strong cell


def read_run(folder: Path) -> Run:
    """Reads a work directory.

    Args:
      folder: of a run; of one that was killed, parts may be missing.

    Returns:
      What is there.

    Raises:
      ValueError: if it is no work directory or a file is damaged; says which, and what to do.
    """
    config, inspection = folder / "config.json", folder / "inspection.npz"
    if not config.is_file() and not (folder / "results.jsonl").is_file():
        raise ValueError(
            f"{folder} is not the work directory of a run: it has neither config.json nor "
            "results.jsonl; name a folder made by `python -m experiments.train --workdir DIR`"
        )
    settings, arrays = {}, {}
    try:
        part = config
        if part.exists():
            settings = dict(json.loads(part.read_text("utf-8")))
        part = inspection
        if part.exists():
            with np.load(part) as file:
                arrays = dict(file)
    except (ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{part} is damaged ({error}); remove it, or run again") from error
    logs = sorted(folder.glob("models/*/metrics.jsonl"))
    metrics = {log.parent.name: read_lines(log, ("step",)) for log in logs}
    return Run(folder, settings, read_lines(folder / "results.jsonl"), metrics, arrays)


def read_lines(path: Path, needed: Sequence[str] = ()) -> list[Line]:
    """Reads JSON objects, one a line, of a file that may be missing.

    Args:
      path: of the file.
      needed: keys that every line must have, besides those that its kind must have.

    Returns:
      The objects.

    Raises:
      ValueError: if a line is damaged; names it.
    """
    lines = []
    for number, text in enumerate(path.read_text("utf-8").splitlines() if path.exists() else (), 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            lacking = {*needed, *NEEDED.get(line.get("kind"), ())} - line.keys()
        except (ValueError, AttributeError) as error:
            fault = f"{path}, line {number} is damaged: {text[:60]!r}; remove it"
            raise ValueError(fault) from error
        if lacking:
            raise ValueError(f"{path}, line {number} lacks {', '.join(sorted(lacking))}; remove it")
        lines.append(line)
    return lines


def merge(runs: Sequence[Run]) -> list[Line]:
    """The lines of all runs, each with the name of its run where there are several.

    Runs whose configs differ in nothing but the seed count as one run with several seeds.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        key = json.dumps({**run.config, "seed": None}) if run.config else str(run.folder)
        seeds = [other.config.get("seed") for other in groups.get(key, ())]
        again = run.config.get("seed") in seeds
        groups.setdefault(str(run.folder) if again else key, []).append(run)
    names = [group[0].folder.resolve().name for group in groups.values()]
    return [
        {**line, "run": name if names.count(name) == 1 else str(group[0].folder)}
        for group, name in zip(groups.values(), names, strict=True)
        for run in group
        for line in run.lines
    ]


def _setting(line: Line) -> str:
    low_high = line["shots"] if isinstance(line["shots"], list) else [line["shots"]]
    return f"{line['ways']}-way {'-'.join(map(str, low_high))}-shot"


def _name(line: Line) -> str:
    return line["model"] if line["kind"] == "result" else f"{line['model']} - {line['against']}"


def _contest(lines: Sequence[Line]) -> str:
    """What two results must share to be rivals."""
    return repr([[line.get(key) for key in (*QUESTION, "seed")] for line in lines])


def _rows(chosen: Sequence[Line]) -> list[Row]:
    """The rows of a table: where there are several seeds first the means, then each seed."""
    seen: dict[tuple[str, str], set[str]] = {}
    for key, line in itertools.product(CONDITIONS, chosen):
        seen.setdefault((key, _name(line)), set()).add(repr(line.get(key)))
    varied = list(dict.fromkeys(key for (key, _), values in seen.items() if len(values) > 1))
    table: dict[str, dict[str, dict[Any, Line]]] = {}
    for line in chosen:
        where = [f"{key} {line[key]}" for key in varied if key in line]
        by_seed = table.setdefault(" · ".join([_name(line), *where]), {})
        # Of a result that was made again, the later one counts.
        by_seed.setdefault(_setting(line), {})[line.get("seed")] = line
    seeds = list(dict.fromkeys(line.get("seed") for line in chosen))
    rows = []
    for block in [seeds, *([seed] for seed in seeds)] if len(seeds) > 1 else [seeds]:
        for label, columns in table.items():
            cells = {
                setting: [line for seed, line in by_seed.items() if seed in block]
                for setting, by_seed in columns.items()
            }
            cells = {setting: lines for setting, lines in cells.items() if lines}
            count = max(map(len, cells.values()), default=0)
            if count < min(len(block), 2):
                continue
            tail = f"mean of {count} seeds" if len(block) > 1 else f"seed {block[0]}"
            rows.append(Row(f"{label} · {tail}" if len(seeds) > 1 else label, cells))
    return rows


def _figures(lines: Sequence[Line], field: str) -> tuple[float, float, float]:
    """Mean and ends, in percent: of the interval, or of the spread where there are seeds."""
    values = [100 * line[field] for line in lines]
    half = 100 * lines[0]["ci95"] if len(lines) == 1 else 0.0
    return float(np.mean(values)), min(values) - half, max(values) + half


def _cell(rows: Sequence[Row], row: Row, setting: str, field: str) -> Cell:
    lines = row.cells.get(setting)
    if not lines:
        return Cell("-")
    mean, low, high = _figures(lines, field)
    dagger = " †" if any(line.get("transductive") for line in lines) else ""
    if field == "accuracy":
        # A transductive result is the best only where no rival is inductive.
        rivals = [each for r in rows if (each := r.cells.get(setting))]
        rivals = [each for each in rivals if _contest(each) == _contest(lines)]
        rank = [(not each[0].get("transductive"), _figures(each, field)[0]) for each in rivals]
        strong = len(rank) > 1 and (not dagger, mean) == max(rank)
        sign = ""
    else:
        strong, sign = low > 0 or high < 0, "+"
    spread = f"± {high - mean:.1f}" if len(lines) == 1 else f"({low:{sign}.1f}..{high:{sign}.1f})"
    return Cell(f"{mean:{sign}.1f} {spread}{dagger}", strong)


def grids(lines: Iterable[Line]) -> list[Grid]:
    """The table of results and that of paired differences, as far as there are any."""
    lines, made = list(lines), []
    for kind, field in (("result", "accuracy"), ("comparison", "difference")):
        chosen = [line for line in lines if line.get("kind") == kind]
        rows = _rows(chosen)
        chosen.sort(key=lambda line: (line["ways"], np.max(line["shots"])))
        settings = list(dict.fromkeys(map(_setting, chosen)))
        corner = "model" if kind == "result" else "difference"
        cells = [[Cell(text) for text in (corner, *settings)]]
        cells += [[Cell(r.label), *(_cell(rows, r, s, field) for s in settings)] for r in rows]
        notes = [NOTES[kind]]
        if any(len(each) > 1 for row in rows for each in row.cells.values()):
            notes.append("Means of seeds: (lowest..highest seed) in place of an interval.")
        if any(line.get("transductive") for line in chosen):
            notes.append(TRANSDUCTIVE)
        made += [Grid(cells, notes)] if rows else []
    return made


def _written(grid: Grid, escape: Mapping[str, str], strong: str) -> list[list[str]]:
    table = str.maketrans(dict(escape))
    mark = [[c.text.translate(table) for c in row] for row in grid.rows]
    return [
        [strong.format(text) if cell.strong else text for cell, text in zip(*pair, strict=True)]
        for pair in zip(grid.rows, mark, strict=True)
    ]


def table(lines: Iterable[Line]) -> str:
    """Results and paired differences as aligned text.

    Args:
      lines: of results.jsonl; kinds that are not known are passed over.

    Returns:
      Text for a terminal.
    """
    parts = []
    for grid in grids(lines):
        labels, *columns = map(list, zip(*_written(grid, {}, "{} *"), strict=True))
        padded = [[label.ljust(max(map(len, labels))) for label in labels]]
        for column in columns:
            # Marks hang over, so that figures stand below each other.
            bare = [text.rstrip(" *†") for text in column]
            marks = [text[len(rest) :] for text, rest in zip(column, bare, strict=True)]
            right, left = max(map(len, bare)), max(map(len, marks))
            pairs = zip(bare, marks, strict=True)
            padded.append([rest.rjust(right) + mark.ljust(left) for rest, mark in pairs])
        parts += ["   ".join(row).rstrip() for row in zip(*padded, strict=True)]
        parts += ["", *(note.replace(MARK, "*") for note in grid.notes), ""]
    return "\n".join(parts).rstrip() or NOTHING


def markdown(lines: Iterable[Line]) -> str:
    """The tables of `table` in Markdown."""
    parts = []
    for grid in grids(lines):
        rows = _written(grid, MARKDOWN, "**{}**")
        rows.insert(1, [":--", *["--:"] * (len(rows[0]) - 1)])
        parts += [*(f"| {' | '.join(row)} |" for row in rows), ""]
        parts += [" ".join(note.replace(MARK, "bold") for note in grid.notes), ""]
    return "\n".join(parts).rstrip() or NOTHING


def latex(lines: Iterable[Line]) -> str:
    """The tables of `table` in LaTeX; they need the package booktabs."""
    parts = []
    for grid in grids(lines):
        cells = _written(grid, LATEX, r"\textbf{{{}}}")
        header, *rows = (" & ".join(row) + r" \\" for row in cells)
        parts += [rf"\begin{{tabular}}{{l{'r' * (len(grid.rows[0]) - 1)}}}", r"\toprule", header]
        parts += [r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""]
        notes = " ".join(note.replace(MARK, "bold") for note in grid.notes)
        parts += [notes.translate(str.maketrans(LATEX)), ""]
    return "\n".join(parts).rstrip() or f"% {NOTHING}"


def _html(grid: Grid) -> str:
    header, *rows = _written(grid, HTML, "<strong>{}</strong>")
    head = "".join(f'<th scope="col">{text}</th>' for text in header)
    body = "".join(
        f'<tr><th scope="row">{row[0]}</th>{"".join(f"<td>{t}</td>" for t in row[1:])}</tr>\n'
        for row in rows
    )
    notes = html.escape(" ".join(note.replace(MARK, "bold") for note in grid.notes))
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>\n'
        f'<tbody>{body}</tbody></table></div>\n<p class="note">{notes}</p>\n'
    )


def _summary(lines: Sequence[Line]) -> str:
    """One sentence on the first result, its nearest rival and the difference between them."""
    results = _alike(lines)
    if not results:
        return NOTHING
    first = results[0]
    name, setting = first["model"], _setting(first)
    others = [line for line in results if _setting(line) == setting and line["model"] != name]
    text = (
        f"On {setting} episodes of {first.get('data', 'the data')}, {name} names "
        f"{100 * first['accuracy']:.1f} ± {100 * first['ci95']:.1f} % of the queries rightly"
    )
    if not others:
        return f"{text}."
    rival = max(others, key=lambda line: line["accuracy"])
    text += f"; the best of the others, {rival['model']}, {100 * rival['accuracy']:.1f} %."
    shared = ("run", "data", "split", "queries", "seed")
    for line in lines:
        names = line.get("model"), line.get("against")
        same = all(line.get(key) == first.get(key) for key in shared)
        if same and names == (name, rival["model"]) and _setting(line) == setting:
            mean, low, high = _figures([line], "difference")
            text += f" Episode by episode they differ by {mean:+.1f} ± {high - mean:.1f} points."
            return text if low > 0 or high < 0 else f"{text} That may be no difference."
    return text


def _alike(lines: Iterable[Line]) -> list[Line]:
    """The results that answer the first one's question, of the same run and seed."""
    results = [line for line in lines if line.get("kind") == "result"]
    keys = ("run", "seed", *QUESTION)
    return [line for line in results if all(line.get(k) == results[0].get(k) for k in keys)]


def _missing(what: str, why: str) -> str:
    return f'<p class="missing">No {html.escape(what)}: {html.escape(why)}.</p>'


def _figure(svg: str, caption: str, kind: str = "") -> str:
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="{kind}"><div class="scroll">{svg}</div>{caption}</figure>'


def _learning(run: Run, order: Sequence[str]) -> str:
    figures = []
    for key, title in (("loss", "Training loss"), ("validation", "Validation accuracy")):
        series = {}
        for name, lines in run.metrics.items():
            points = [(line["step"], float(line.get(key, np.nan)), 0.0) for line in lines]
            if points := [point for point in points if np.isfinite(point[1])]:
                series[name] = points
        if not series:
            figures.append(_missing(title.lower(), "not in models/*/metrics.jsonl"))
            continue
        last = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in series.items())
        options = {"xlabel": "step", "percent": key == "validation"}
        svg = plots.curves(series, order, alt=f"{title} by step; at the end {last}.", **options)
        figures.append(_figure(svg, f"{title} by step"))
    return f'{plots.legend(order)}<div class="pair">{"".join(figures)}</div>'


def _by_setting(run: Run, order: Sequence[str]) -> str:
    results = [line for line in _alike(run.lines) if isinstance(line["shots"], int)]
    figures = []
    for axis, other in (("ways", "shots"), ("shots", "ways")):
        values: dict[int, set[int]] = {}
        for line in results:
            values.setdefault(line[other], set()).add(line[axis])
        held = max(values, key=lambda value: len(values[value]), default=0)
        if len(values.get(held, ())) < 2:
            continue
        series: dict[str, list[tuple[float, float, float]]] = {}
        for line in sorted(results, key=lambda line: line[axis]):
            if line[other] == held:
                point = line[axis], line["accuracy"], line["ci95"]
                series.setdefault(line["model"], []).append(point)
        title = f"Test accuracy by {axis}, {held}-{other[:-1]}, with 95% intervals"
        said = "; ".join(
            f"{name} " + ", ".join(f"{x}: {y:.1%}" for x, y, _ in points)
            for name, points in series.items()
        )
        svg = plots.curves(series, order, xlabel=axis, percent=True, alt=f"{title}. {said}.")
        figures.append(_figure(svg, title))
    if not figures:
        return _missing("figure by ways or shots", "results.jsonl holds fewer than two of either")
    return f'{plots.legend(order)}<div class="pair">{"".join(figures)}</div>'


def _confusion(arrays: Mapping[str, np.ndarray]) -> str:
    if not {"confusion", "confusion_classes"} <= arrays.keys():
        return _missing("confusion matrix", "not in inspection.npz")
    counts = np.asarray(arrays["confusion"], float)
    names = list(map(str, arrays["confusion_classes"]))
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    off = shares * (1 - np.eye(len(names)))
    pairs = np.stack(np.unravel_index(np.argsort(-off, axis=None), off.shape), 1)
    worst = [(names[i], names[j], off[i, j]) for i, j in pairs[:3] if off[i, j] > 0]
    said = ", ".join(f"{a} taken for {b} ({share:.0%})" for a, b, share in worst) or "none"
    caption = f"Shares of each true class in %. Most often: {said}."
    svg = plots.confusion(shares, names, alt=caption)
    return _figure(svg, caption, "wide")


def _episode(arrays: Mapping[str, np.ndarray]) -> str:
    keys = ("features", "labels", "kinds", "predictions", "classes")
    if lacking := [f"picture_{key}" for key in keys if f"picture_{key}" not in arrays]:
        return _missing("picture of an episode", f"{', '.join(lacking)} not in inspection.npz")
    kinds, guesses = arrays["picture_kinds"], arrays["picture_predictions"]
    classes = list(map(str, arrays["picture_classes"]))
    right = int((guesses == arrays["picture_labels"][kinds == "query"]).sum())
    caption = (
        f"One test episode: {right} of {len(guesses)} queries right. Stars are prototypes; support "
        "is framed in the colour of its class, a query in green if right, in dashed red if wrong. "
        "Distances in the plane only resemble those the model sees."
    )
    if "picture_images" in arrays:
        caption += " Pictures that would cover each other are moved; a line leads to their place."
    svg = plots.episode(arrays, alt=f"{caption} Classes: {', '.join(classes)}.")
    return plots.legend(classes, "★") + _figure(svg, caption, "wide")


def _attention(run: Run) -> str:
    arrays = run.inspection
    if not {"attention", "attention_modalities"} <= arrays.keys():
        if run.config.get("fusion") != "attention":
            return ""
        return _missing("attention by modality", "not in inspection.npz")
    names, shares = list(map(str, arrays["attention_modalities"])), np.asarray(arrays["attention"])
    means = ", ".join(f"{n} {x:.0%}" for n, x in zip(names, shares.mean(1), strict=True))
    caption = (
        f"Share of the attention that each modality gets; mean {means}. Boxes hold half of the "
        "rows, whiskers nine tenths; dashed: equal shares."
    )
    return _figure(plots.attention(names, shares, alt=caption), caption)


def _command(config: Mapping[str, Any]) -> str:
    """The command that trains with a config, as far as it can be told from the default one."""
    from experiments.configs.emoji import get_config

    def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
        pairs: dict[str, Any] = {}
        for key, value in settings.items():
            deeper = isinstance(value, Mapping)
            pairs |= flat(value, f"{prefix}{key}.") if deeper else {prefix + key: value}
        return pairs

    def tuples(value: Any) -> Any:
        return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value

    ours, default = flat(config), flat(get_config().to_dict())
    command = ["python -m experiments.train --workdir runs/again"]
    if ours.keys() != default.keys():
        return f"{command[0]} --config FILE  # one that gives the settings above"
    changed = {key: value for key, value in ours.items() if tuples(value) != tuples(default[key])}
    command += [shlex.quote(f"--config.{key}={tuples(value)}") for key, value in changed.items()]
    return " \\\n    ".join(command)


def _facts(run: Run) -> str:
    """Settings, machine and times of a run, and how to make it again."""
    results = [line for line in run.lines if line.get("kind") == "result"]
    facts = {}
    for key in ("commit", "device", "cores", "versions"):
        values = [line[key] for line in results if key in line]
        if key == "versions":
            values = [", ".join(f"{k} {v}" for k, v in value.items()) for value in values]
        facts[key] = "; ".join(dict.fromkeys(map(str, values))) or "not noted"
    facts["evaluation"] = f"{sum(line.get('seconds', 0) for line in results):.0f} s in all"
    items = "".join(f"<dt>{key}</dt><dd>{html.escape(text)}</dd>" for key, text in facts.items())
    names = ("model", "setting", "accuracy %", "NLL", "ECE", "episodes", "seconds")
    rows = [[Cell(name) for name in names]]
    for line in results:
        figures = [f"{100 * line['accuracy']:.2f} ± {100 * line['ci95']:.2f}"]
        figures += [f"{line[key]:.3f}" if key in line else "-" for key in ("nll", "ece")]
        figures += [str(line.get("episodes", "-")), f"{line.get('seconds', np.nan):.1f}"]
        rows.append([Cell(text) for text in (line["model"], _setting(line), *figures)])
    if not run.config:
        again = _missing("settings", "config.json is not there")
    else:
        settings = html.escape(json.dumps(run.config, indent=2))
        again = (
            f"<p>To make it again:</p><pre>{html.escape(_command(run.config))}</pre>"
            f"<details><summary>Settings</summary><pre>{settings}</pre></details>"
        )
    every = _html(Grid(rows, ["Seconds are those of the evaluation."]))
    return f"<dl>{items}</dl>{again}<details><summary>Every result</summary>{every}</details>"


def _section(run: Run, order: Sequence[str]) -> str:
    parts = {
        "Learning": _learning(run, order),
        "Ways and shots": _by_setting(run, order),
        "Confusions": _confusion(run.inspection),
        "One episode": _episode(run.inspection),
        "Attention": _attention(run),
        "The run": _facts(run),
    }
    body = "\n".join(f"<h3>{title}</h3>\n{text}" for title, text in parts.items() if text)
    return f"<section><h2>{html.escape(run.folder.resolve().name)}</h2>\n{body}</section>"


def page(runs: Sequence[Run]) -> str:
    """The report of runs as an HTML document that needs nothing but itself."""
    lines = merge(runs)
    models = [line["model"] for line in lines if line.get("kind") == "result"]
    order = list(dict.fromkeys([*models, *(name for run in runs for name in run.metrics)]))
    title = html.escape("Few-shot results: " + ", ".join(r.folder.resolve().name for r in runs))
    parts = [f"<h1>{title}</h1>", f'<p class="lead">{html.escape(_summary(lines))}</p>']
    parts += [*map(_html, grids(lines)), *(_section(run, order) for run in runs)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{plots.css()}{CSS}</style></head>\n"
        f"<body><main>\n{chr(10).join(parts)}\n</main></body></html>\n"
    )


def write_report(dirs: Sequence[Path], out: Path) -> None:
    """Writes one page on any number of runs.

    Args:
      dirs: work directories.
      out: the HTML file to write.

    Raises:
      ValueError: if a folder is no work directory, or a file in it is damaged.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page([read_run(Path(folder)) for folder in dirs]), "utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the page and the tables, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("dirs", metavar="DIR", nargs="+", type=Path, help="work directory of a run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        help="the page to write, FILE.html; tables go to FILE.md and FILE.tex beside it "
        "(default: report.html in DIR, or here if there are several)",
    )
    args = parser.parse_args(argv)
    out = args.out or (args.dirs[0] if len(args.dirs) == 1 else Path()) / "report.html"
    if out.suffix not in (".html", ".htm"):
        parser.error(f"--out {out}: must end in .html")
    try:
        lines = merge([read_run(folder) for folder in args.dirs])
        write_report(args.dirs, out)
        out.with_suffix(".md").write_text(markdown(lines) + "\n", "utf-8")
        out.with_suffix(".tex").write_text(latex(lines) + "\n", "utf-8")
    except (ValueError, OSError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    print(f"{table(lines)}\n\n{out}, {out.with_suffix('.md').name}, {out.with_suffix('.tex').name}")


if __name__ == "__main__":
    main()
