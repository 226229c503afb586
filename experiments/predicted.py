"""The page of predictions: each query beside the support rows nearest to it."""

import base64
import html
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from experiments.features import kind_of_steps, listened
from experiments.queries import LABEL, SHOWN, Answers
from experiments.report import document
from experiments.verdict import told
from fsjax.data.sheet import Sheet

DECIBELS = 70  # of a sound, from black to white
LIKELIEST = 5  # classes of a query
LONGEST = 160  # letters of a cell
STYLE = """
.query{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(18rem,100%),1fr));gap:1.5rem;
padding:1.25rem 0;border-top:1px solid var(--line)}
.query h3{margin:0 0 .5rem}.query img{width:6rem;height:6rem;object-fit:contain;
background:var(--panel);border-radius:.4rem;margin:0 .5rem .5rem 0;image-rendering:pixelated}
.near{display:grid;grid-template-columns:max-content 1fr;gap:.5rem 1rem;margin:.5rem 0}
.near img{width:3.5rem;height:3.5rem;margin:0}.near p{margin:0;overflow-wrap:anywhere}
.bars{display:grid;grid-template-columns:minmax(4rem,max-content) 1fr max-content;
gap:.2rem .75rem;align-items:center;font-size:.875rem;font-variant-numeric:tabular-nums}
.bars i{display:block;height:.6rem;border-radius:.2rem;background:var(--s0)}
.bars i.less{background:var(--wrong)}.right{color:var(--right)}.wrong{color:var(--wrong)}
"""


def write_page(answers: Answers, out: Path) -> None:
    """Writes the page of predictions."""
    out.write_text(page(answers), "utf-8")


def page(answers: Answers) -> str:
    """Queries with their pictures, nearest support rows, probabilities and contributions.

    Args:
      answers: of `experiments.queries.answer`.

    Returns:
      An HTML document that needs nothing but itself; of many queries it shows the first.
    """
    predictor, count = answers.predictor, len(answers.query.rows)
    title = html.escape(f"Predictions of {answers.query.path}")
    support = len(answers.support.rows)
    lead = (
        f"{count} queries, told apart into {len(predictor.classes)} classes by {support} support "
        f"rows of {answers.support.path}."
    )
    shown = min(count, SHOWN)
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="lead">{html.escape(lead)}</p>',
        *(f"<p>{html.escape(line[0].upper() + line[1:])}.</p>" for line in told(answers)),
        f'<p class="note">{html.escape(predictor.about)}</p>',
        f"<section><h2>{shown} of {count} queries</h2>",
        *(_query(answers, i) for i in range(shown)),
        "</section>",
    ]
    return document(title, parts, STYLE)


def _query(answers: Answers, i: int) -> str:
    predictor, found = answers.predictor, answers.predictions
    name = predictor.classes[found.labels[i]]
    best = np.argsort(-found.probabilities[i])[:LIKELIEST]
    chances = {predictor.classes[c]: found.probabilities[i, c] for c in best}
    shares = dict(zip(predictor.modalities, found.contributions[i], strict=False))
    none = found.none_of_these[i]
    parts = [_bars({k: (p, f"{p:.1%}") for k, p in chances.items()})]
    if shares:
        parts.append("<p>What each modality adds, in nats</p>")
        parts.append(_bars({k: (x, f"{x:+.2f}") for k, x in shares.items()}))
    if not np.isnan(none):
        parts.append(f'<p class="note">None of these: {none:.2f}</p>')
    head = f"<h3>{html.escape(name)} {_verdict(answers, i, name)}</h3>"
    pictures = _pictures(answers.shown.values, answers.shown.present, i)
    cells = f"{head}{pictures}{_cells(answers.query, i)}"
    near = "".join(_support(answers, j) for j in found.nearest[i])
    near = f'<p>Nearest support rows</p><div class="near">{near}</div>'
    return "".join(
        ['<article class="query">', *map(_block, (cells, "".join(parts), near)), "</article>"]
    )


def _block(content: str) -> str:
    return f"<div>{content}</div>"


def _verdict(answers: Answers, i: int, name: str) -> str:
    said = '<span class="note">(abstains)</span> ' if answers.predictions.abstain[i] else ""
    true = answers.query.column(LABEL)[i] if LABEL in answers.query.header else ""
    if not true:
        return said
    if true == name:
        return f'{said}<span class="right">✓</span>'
    return f'{said}<span class="wrong">✗ {html.escape(true)}</span>'


def _support(answers: Answers, j: int) -> str:
    rows = answers.table.sources["rows"]
    name = answers.table.classes[rows.labels[j]]
    pictures = _pictures(rows.values, rows.present, j)
    text = f"<strong>{html.escape(name)}</strong>{_cells(answers.support, j)}"
    return f"<div>{pictures}</div>{_block(text)}"


def _cells(sheet: Sheet, i: int) -> str:
    given = zip(sheet.header, sheet.rows[i], strict=True)
    texts = (f"{name}: {_cut(cell)}" for name, cell in given if cell.strip() and name != LABEL)
    return "".join(f'<p class="note">{html.escape(text)}</p>' for text in texts)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _bars(values: Mapping[str, tuple[float, str]]) -> str:
    longest = max([abs(x) for x, _ in values.values()] + [1e-9])
    rows: Iterable[str] = (
        f"<span>{html.escape(name)}</span>"
        f'<i class="{"less" if x < 0 else ""}" style="width:{100 * abs(x) / longest:.0f}%"></i>'
        f"<span>{text}</span>"
        for name, (x, text) in values.items()
    )
    return f'<div class="bars">{"".join(rows)}</div>'


def _pictures(values: Mapping[str, np.ndarray], present: Mapping[str, np.ndarray], i: int) -> str:
    seen = {m: _pixels(m, x[i]) for m, x in values.items() if present[m][i]}
    return "".join(
        f'<img alt="{html.escape(m)}" src="{_uri(pixels)}">'
        for m, pixels in seen.items()
        if pixels is not None
    )


def _pixels(name: str, row: np.ndarray) -> np.ndarray | None:
    """A picture as it is, a sound as its frames, the lowest band at the bottom, a series as the
    curves of its channels; else nothing.
    """
    if row.ndim == 3:
        return row
    if row.ndim == 2 and kind_of_steps(name, row.shape[1]) == "series":
        return _curves(row)
    if row.dtype == np.int16:
        (level,) = listened(row[None])
    elif row.ndim == 2:
        level = np.clip(1 + (row - row.max()) / DECIBELS, 0, 1)
    else:
        return None
    return np.rint(255 * level.T[::-1]).astype(np.uint8)


def _curves(row: np.ndarray) -> np.ndarray:
    """Channels [T, C] over each other, each from its least to its largest number: [T, T] uint8."""
    least, spread = row.min(0), np.ptp(row, axis=0)
    level = np.divide(row - least, spread, out=np.full_like(row, 0.5), where=spread > 0)
    high = (1 - level) * (len(row) - 1)
    picture = Image.new("L", (len(row), len(row)))
    shades = np.linspace(255, 100, high.shape[1]).astype(int).tolist()
    for shade, channel in zip(shades, high.T.tolist(), strict=True):
        ImageDraw.Draw(picture).line(list(enumerate(channel)), fill=shade)
    return np.asarray(picture)


def _uri(pixels: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
