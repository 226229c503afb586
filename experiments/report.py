"""One page, and tables in Markdown and LaTeX, from any number of runs.

python -m experiments.report DIR ... [--out FILE]
"""

import argparse
import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments import plots
from experiments.names import as_path
from experiments.runs import Line, Run, merge, read_runs, told_apart
from experiments.sections import learning, section
from experiments.tables import (
    NOTHING,
    alike,
    as_html,
    figures,
    grids,
    latex,
    markdown,
    setting,
    table,
)

STYLE = Path(__file__).with_name("report.css")


def _summary(lines: Sequence[Line]) -> str:
    """One sentence on the first result, its nearest rival and the difference between them."""
    results = alike(lines)
    if not results:
        return NOTHING
    first = results[0]
    name, where = first["model"], setting(first)

    def called(line: Line) -> str:
        return line["model"] + " (transductive)" * bool(line.get("transductive"))

    others = [line for line in results if setting(line) == where and line["model"] != name]
    every = [line for line in lines if line.get("kind") == "result"]
    varied = [key for key in ("run", "seed") if len({line.get(key) for line in every}) > 1]
    told = ", ".join(f"{key} {first[key]}" for key in varied if key in first)
    of = f"{called(first)} ({told})" if told else called(first)
    text = (
        f"On {where} episodes of {first.get('data', 'the data')}, {of} names "
        f"{100 * first['accuracy']:.1f} ± {100 * first['ci95']:.1f} % of the queries rightly"
    )
    if not others:
        return f"{text}."
    rival = max(others, key=lambda line: line["accuracy"])
    text += f"; the best of the others, {called(rival)}, {100 * rival['accuracy']:.1f} %."
    shared = ("run", "data", "split", "queries", "seed")
    for line in lines:
        names = line.get("model"), line.get("against")
        same = all(line.get(key) == first.get(key) for key in shared)
        if same and names == (name, rival["model"]) and setting(line) == where:
            mean, low, high = figures([line], "difference")
            text += f" Episode by episode they differ by {mean:+.1f} ± {high - mean:.1f} points."
            return text if low > 0 or high < 0 else f"{text} That may be no difference."
    return text


def _side_by_side(runs: Mapping[str, Run]) -> str:
    """How the models of all runs learned, in common figures."""
    metrics = {
        f"{of}: {name}": lines for of, run in runs.items() for name, lines in run.metrics.items()
    }
    return f"<section><h2>Learning, all runs</h2>\n{learning(metrics, list(metrics))}</section>"


def page(runs: Sequence[Run]) -> str:
    """The report of runs as an HTML document that needs nothing but itself."""
    lines = merge(runs)
    models = [line["model"] for line in lines if line.get("kind") in ("result", "missing")]
    order = list(dict.fromkeys([*models, *(name for run in runs for name in run.metrics)]))
    named = dict(zip(told_apart([run.name for run in runs], runs), runs, strict=True))
    title = html.escape("Few-shot results: " + ", ".join(named))
    parts = [f"<h1>{title}</h1>", f'<p class="lead">{html.escape(_summary(lines))}</p>']
    parts += map(as_html, grids(lines))
    if sum(bool(run.metrics) for run in runs) > 1:
        parts.append(_side_by_side(named))
    parts += [section(name, run, order) for name, run in named.items()]
    return document(title, parts)


def document(title: str, parts: Sequence[str], style: str = "") -> str:
    """A page that needs nothing but itself.

    Args:
      title: in HTML.
      parts: HTML elements, one after the other.
      style: CSS beside the report's.

    Returns:
      The HTML document.
    """
    css = f"{plots.css()}{STYLE.read_text('utf-8')}{style}"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{css}</style></head>\n"
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
    out.write_text(page(read_runs(dirs)), "utf-8")


def main(argv: Sequence[str] | None = None) -> None:
    """Writes the page and the tables, and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.report", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "dirs", metavar="DIR", nargs="+", type=as_path, help="work directory of a run"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=as_path,
        help="the page to write, FILE.html; tables go to FILE.md and FILE.tex beside it "
        "(default: report.html in DIR, or here if there are several)",
    )
    args = parser.parse_args(argv)
    out = args.out or (args.dirs[0] if len(args.dirs) == 1 else Path()) / "report.html"
    if out.suffix not in (".html", ".htm"):
        parser.error(f"--out {out}: must end in .html")
    try:
        lines = merge(read_runs(args.dirs))
        write_report(args.dirs, out)
        out.with_suffix(".md").write_text(markdown(lines) + "\n", "utf-8")
        out.with_suffix(".tex").write_text(latex(lines) + "\n", "utf-8")
    except (ValueError, OSError) as error:
        raise SystemExit(f"{parser.prog}: {error}") from error
    print(f"{table(lines)}\n\n{out}, {out.with_suffix('.md').name}, {out.with_suffix('.tex').name}")


if __name__ == "__main__":
    main()
