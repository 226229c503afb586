"""The sections of the report on one run."""

import html
from collections.abc import Mapping, Sequence

import numpy as np

from experiments import gallery, plots, scatter
from experiments.facts import facts
from experiments.names import setting
from experiments.runs import Line, Run
from experiments.tables import Cell, Grid, alike, as_html
from fsjax.evaluation.intervals import mean_ci95


def _missing(what: str, why: str) -> str:
    return f'<p class="missing">No {html.escape(what)}: {html.escape(why)}.</p>'


def figure(svg: str, caption: str, kind: str = "") -> str:
    """An SVG element above its caption, plain text; `kind` is a class of the page's style."""
    caption = f"<figcaption>{html.escape(caption)}</figcaption>"
    return f'<figure class="{kind}"><div class="scroll">{svg}</div>{caption}</figure>'


LEARNING = (
    ("loss", "step", "Training loss by step"),
    ("validation", "step", "Validation accuracy by step"),
    ("validation", "minutes", "Validation accuracy by minutes of training"),
)


def learning(metrics: Mapping[str, Sequence[Line]], order: Sequence[str]) -> str:
    """Figures of how models learned.

    Args:
      metrics: name -> lines of metrics.jsonl.
      order: all names of the page, so that each keeps its colour.

    Returns:
      HTML elements.
    """
    figures = []
    for key, by, title in LEARNING:
        series = {}
        for name, lines in metrics.items():
            pairs = [[float(line.get(k, np.nan)) for k in (by, key)] for line in lines]
            if points := [(*pair, 0.0) for pair in pairs if np.isfinite(pair).all()]:
                series[name] = points
        if not series:
            figures.append(_missing(title.lower(), "not in models/*/metrics.jsonl"))
            continue
        last = ", ".join(f"{name} {points[-1][1]:.3f}" for name, points in series.items())
        options = {"xlabel": by, "percent": key == "validation"}
        svg = plots.curves(series, order, alt=f"{title}; at the end {last}.", **options)
        figures.append(figure(svg, title))
    return f'{plots.legend(order)}<div class="pair">{"".join(figures)}</div>'


def _by_setting(run: Run, order: Sequence[str]) -> str:
    results = [line for line in alike(run.lines) if isinstance(line["shots"], int)]
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
        figures.append(figure(svg, title))
    if not figures:
        return _missing("figure by ways or shots", "results.jsonl holds fewer than two of either")
    return f'{plots.legend(order)}<div class="pair">{"".join(figures)}</div>'


def _by_count(run: Run, order: Sequence[str], kind: str, counted: str) -> str:
    """Figures of lines that hold accuracies for several numbers of what is counted."""
    by_setting: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for line in alike(run.lines, kind):
        numbers = line.get("rows", range(len(line["ci95s"])))
        points = zip(numbers, line["accuracies"], line["ci95s"], strict=True)
        by_setting.setdefault(setting(line), {})[line["model"]] = list(points)
    return _side_by_side(by_setting, order, counted)


def _by_synthetic(run: Run, order: Sequence[str]) -> str:
    """Figures of accuracy by the numbers of config.generation.curve, which its weights count."""
    fills = run.config.get("generation", {}).get("weights") == "missing"
    what = "rows up to which synthetic ones fill a class" if fills else "synthetic rows of a class"
    return _by_count(run, order, "synthetic", what)


def _by_missing(run: Run, order: Sequence[str]) -> str:
    """Figures of accuracy by the rate at which modalities are missing."""
    lines = [line for line in alike(run.lines, "missing") if not isinstance(line["missing"], str)]
    by_setting: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for line in sorted(lines, key=lambda line: line["missing"]):
        points = by_setting.setdefault(setting(line), {}).setdefault(line["model"], [])
        points.append((line["missing"], line["accuracy"], line["ci95"]))
    return _side_by_side(by_setting, order, "rate of missing modalities")


def _side_by_side(
    by_setting: Mapping[str, Mapping[str, Sequence[tuple[float, float, float]]]],
    order: Sequence[str],
    counted: str,
) -> str:
    """A figure of each setting, setting -> model -> points; nothing if there is none."""
    figures = []
    for name, series in by_setting.items():
        said = "; ".join(
            f"{model} " + ", ".join(f"{y:.1%}" for _, y, _ in points)
            for model, points in series.items()
        )
        title = f"Test accuracy by {counted}, {name}, with 95% intervals"
        svg = plots.curves(series, order, xlabel=counted, percent=True, alt=f"{title}. {said}.")
        figures.append(figure(svg, title))
    return f'{plots.legend(order)}<div class="pair">{"".join(figures)}</div>' if figures else ""


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
    return figure(svg, caption, "wide")


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
    svg = scatter.episode(arrays, alt=f"{caption} Classes: {', '.join(classes)}.")
    return plots.legend(classes, "★") + figure(svg, caption, "wide")


def _gallery(arrays: Mapping[str, np.ndarray]) -> str:
    titles = {"support": "support", "query": "queries", "synthetic": "synthetic"}
    if not {"gallery_classes", *(f"gallery_{key}" for key in titles)} <= arrays.keys():
        return ""
    groups = {title: arrays[f"gallery_{key}"] for key, title in titles.items()}
    classes = list(map(str, arrays["gallery_classes"]))
    caption = (
        f"Pictures of {len(classes)} test classes, a row for each: of the support, of the queries, "
        "and synthetic ones, made of noise and of what the generator is told of a class, the mean "
        "of the support pictures unless asked otherwise. It has seen none of these classes before."
    )
    svg = gallery.gallery(groups, classes, alt=f"{caption} Classes: {', '.join(classes)}.")
    return figure(svg, caption, "wide")


def _attention(run: Run) -> str:
    arrays = run.inspection
    if not {"attention", "attention_modalities"} <= arrays.keys():
        if run.config.get("fusion") != "attention":
            return ""
        return _missing("attention by modality", "not in inspection.npz")
    names, shares = list(map(str, arrays["attention_modalities"])), np.asarray(arrays["attention"])
    means = ", ".join(f"{n} {x:.0%}" for n, x in zip(names, shares.mean(1), strict=True))
    caption = (
        f"How much each modality weighs in what is fused; mean {means}. Boxes hold half of the "
        "rows, whiskers nine tenths; dashed: equal shares."
    )
    return figure(plots.attention(names, shares, alt=caption), caption)


def _attribution(arrays: Mapping[str, np.ndarray]) -> str:
    keys = ("modalities", "shapley", "left_out")
    if not {f"attribution_{key}" for key in keys} <= arrays.keys():
        return ""
    names, shapley, left_out = (arrays[f"attribution_{key}"] for key in keys)
    rows = [[Cell(text) for text in ("modality", "Shapley value", "lost without it")]]
    for place, name in enumerate(names):
        intervals = [mean_ci95(100 * x[:, place]) for x in (shapley, left_out)]
        cells = [Cell(f"{mean:.1f} ± {half:.1f}") for mean, half in intervals]
        rows.append([Cell(str(name)), *cells])
    note = (
        f"Points of accuracy over {len(shapley)} test episodes, hidden in support and query: the "
        "Shapley values add up to what all modalities together gain over none. ± is half a 95% "
        "interval."
    )
    return as_html(Grid(rows, [note]))


def section(name: str, run: Run, order: Sequence[str]) -> str:
    """All that the page tells of one run.

    Args:
      name: of the run.
      run: as read; of what is missing, the section says so.
      order: all names of models of the page, so that each keeps its colour.

    Returns:
      An HTML element.
    """
    parts = {
        "Learning": learning(run.metrics, order),
        "Ways and shots": _by_setting(run, order),
        "Adaptation": _by_count(run, order, "adaptation", "inner steps"),
        "Synthetic rows": _by_synthetic(run, order),
        "Missing modalities": _by_missing(run, order),
        "Confusions": _confusion(run.inspection),
        "One episode": _episode(run.inspection),
        "Synthetic pictures": _gallery(run.inspection),
        "Attention": _attention(run),
        "Worth of modalities": _attribution(run.inspection),
        "The run": facts(run),
    }
    body = "\n".join(f"<h3>{title}</h3>\n{text}" for title, text in parts.items() if text)
    return f"<section><h2>{html.escape(name)}</h2>\n{body}</section>"
