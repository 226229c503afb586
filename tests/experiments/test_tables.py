"""Tables of results: their cells, their marks and their formats."""

import pytest

from experiments import tables


def test_table_holds_the_figures(cells, all_lines):
    text = tables.table(all_lines)
    assert cells(text, "model") == ["5-way 1-shot", "5-way 5-shot", "20-way 1-shot"]
    assert cells(text, "attention") == ["88.4 ± 0.6 *", "95.4 ± 0.6 *", "71.4 ± 0.6 *"]
    assert cells(text, "text") == ["82.9 ± 0.6", "89.9 ± 0.6", "65.9 ± 0.6"]
    assert cells(text, "attention - text")[0] == "+5.5 ± 0.7 *"


def test_table_is_aligned(all_lines):
    rows = tables.table(all_lines).splitlines()[:6]
    assert len({row.rindex("±") for row in rows[1:]}) == 1


@pytest.mark.parametrize(
    ("difference", "cell"),
    [(0.004, "+0.4 ± 0.7"), (-0.02, "-2.0 ± 0.7 *"), (0.0071, "+0.7 ± 0.7 *")],
)
def test_a_difference_is_marked_if_its_interval_excludes_zero(difference, cell, comparison, cells):
    text = tables.table([comparison(difference=difference)])
    assert cells(text, "attention - image") == [cell]


def test_transductive_results_are_marked_and_never_best_beside_inductive_ones(result, cells):
    lines = [result(), result("image", 0.7), result("tricks", 0.95, transductive=True)]
    text = tables.table(lines)
    assert cells(text, "tricks") == ["95.0 ± 0.6 †"] and "†: transductive" in text
    assert cells(text, "attention") == ["88.4 ± 0.6 *"]
    assert "†" not in tables.table(lines[:2])


def test_seeds_give_rows_of_their_own_and_a_mean_with_its_spread(result, comparison, cells):
    lines = [result(accuracy=0.88 + 0.01 * seed, seed=seed) for seed in range(3)]
    lines += [comparison(difference=0.01 * seed, seed=seed) for seed in range(3)]
    text = tables.table(lines)
    assert cells(text, "attention · mean of 3 seeds") == ["89.0 (88.0..90.0)"]
    assert cells(text, "attention · seed 2") == ["90.0 ± 0.6"]
    assert cells(text, "attention - image · mean of 3 seeds") == ["+1.0 (+0.0..+2.0)"]


@pytest.mark.parametrize("rounding", [1.2e-8, -1.2e-8])
def test_what_rounding_leaves_of_no_difference_does_not_exclude_zero(comparison, cells, rounding):
    lines = [comparison(difference=0.05, seed=0), comparison(difference=rounding, seed=1)]
    text = tables.table(lines)
    assert cells(text, "attention - image · mean of 2 seeds") == ["+2.5 (+0.0..+5.0)"]
    assert cells(text, "attention - image · seed 1") == ["+0.0 ± 0.7"]


def test_a_mean_of_seeds_is_of_all_that_its_row_tells(result, cells):
    lines = [result(seed=seed, shots=shots) for seed, shots in ((0, 1), (1, 1), (0, 5))]
    text = tables.table(lines)
    assert cells(text, "attention · mean of 2 seeds")[1] == "-"
    assert cells(text, "attention · seed 0")[1] == "88.4 ± 0.6"


def test_results_on_other_data_are_other_rows_and_no_rivals(result, cells):
    lines = [result(), result(accuracy=0.99, data="birds"), result("image", 0.7)]
    text = tables.table(lines)
    assert cells(text, "attention · data emoji") == ["88.4 ± 0.6 *"]
    assert cells(text, "attention · data birds") == ["99.0 ± 0.6"]


def test_other_episodes_are_other_rows_and_hide_none(result, comparison, cells):
    others = ({"episodes": 1000}, {"episodes": 20}, {"episodes": 1000, "apart": False})
    lines = [comparison(difference=0.5)]  # of a version that did not note them
    for i, other in enumerate(others):
        lines += [result(accuracy=0.8 + i / 10, **other), result("image", 0.7, **other)]
        lines.append(comparison(difference=0.1 + i / 10, **{"apart": True, **other}))
    text = tables.table(lines)
    assert cells(text, "attention · apart True · episodes 1000") == ["80.0 ± 0.6 *"]
    assert cells(text, "attention · apart True · episodes 20") == ["90.0 ± 0.6 *"]
    assert cells(text, "attention - image") == ["+50.0 ± 0.7 *"]
    assert cells(text, "attention - image · apart True · episodes 1000") == ["+10.0 ± 0.7 *"]
    assert cells(text, "attention - image · apart True · episodes 20") == ["+20.0 ± 0.7 *"]
    assert cells(text, "attention - image · apart False · episodes 1000") == ["+30.0 ± 0.7 *"]
    assert [line["accuracy"] for line in tables.alike(lines)] == [0.8, 0.7]


def test_what_is_answered_and_what_of_it_is_wrong_have_tables_of_their_own(result):
    lines = [result()]
    for kind, share in (("answered", 0.8), ("wrong", 0.05)):
        lines.append({**result(), "kind": kind, "risk": 0.05, kind: share})
    found = {grid.notes[0].split()[0]: grid.written({}, "{} *") for grid in tables.grids(lines)}
    assert found["Queries"][1:] == [["attention", "80.0 ± 0.6"]]
    assert found["Answers"][1:] == [["attention", "5.0 ± 0.6"]]


@pytest.mark.parametrize(
    ("kind", "field", "asked", "best"),
    [
        ("open_set", "auroc", "unknown", "image"),
        ("answered", "answered", "risk", "image"),
        ("wrong", "wrong", "risk", "attention"),
    ],
)
def test_no_result_is_better_than_one_of_which_more_was_asked(
    result, cells, kind, field, asked, best
):
    lines = [
        {**result(model), "kind": kind, asked: number, field: share + number / 100}
        for number in (2, 5)
        for model, share in (("attention", 0.5), ("image", 0.6))
    ]
    text = tables.table(lines)
    for number in (2, 5):
        for model in ("attention", "image"):
            (cell,) = cells(text, f"{model} · {asked} {number}")
            assert cell.endswith("*") == (model == best)


def test_of_a_result_made_again_the_later_counts_and_unknown_kinds_are_passed_over(result, cells):
    lines = [result(accuracy=0.5), {"kind": "latency", "x": [1]}, result(commit="later"), {"a": 1}]
    assert cells(tables.table(lines), "attention") == ["88.4 ± 0.6"]
    assert tables.table([]) == "No results yet."


def test_markdown_and_latex_hold_the_same_cells(result, all_lines):
    lines = [*all_lines, result("a_b|c", 0.5, transductive=True)]
    markdown, latex = tables.markdown(lines), tables.latex(lines)
    assert "| attention | **88.4 ± 0.6** | **95.4 ± 0.6** | **71.4 ± 0.6** |" in markdown
    assert r"| a\_b\|c | 50.0 ± 0.6 † | - | - |" in markdown
    assert r"attention & \textbf{88.4 $\pm$ 0.6} & " in latex
    assert r"a\_b|c & 50.0 $\pm$ 0.6 $^\dagger$ & - & - \\" in latex
    assert latex.count(r"\begin{tabular}{lrrr}") == latex.count(r"\end{tabular}") == 2
    assert "{mark}" not in markdown + latex


def test_calibration_and_open_sets_have_tables_of_their_own(result, cells):
    lines = [result(), result("image", 0.7)]
    for model, auroc, errors in (("attention", 0.9, (0.08, 0.03)), ("image", 0.7, (0.05, 0.04))):
        line = {**result(model), "kind": "open_set", "unknown": 5, "auroc": auroc}
        lines.append(line)
        for calibrated, ece in enumerate(errors):
            line = {**result(model), "kind": "calibration", "ece": ece}
            lines.append(line | {"calibrated": bool(calibrated)})
    found = {grid.notes[0].split()[0]: grid.written({}, "{} *") for grid in tables.grids(lines)}
    assert list(found) == ["Accuracy", "Area", "Expected"]
    assert found["Area"][1:] == [["attention", "90.0 ± 0.6 *"], ["image", "70.0 ± 0.6"]]
    assert found["Expected"][1:] == [
        ["attention · calibrated False", "8.0 ± 0.6"],
        ["attention · calibrated True", "3.0 ± 0.6 *"],
        ["image · calibrated False", "5.0 ± 0.6"],
        ["image · calibrated True", "4.0 ± 0.6"],
    ]
