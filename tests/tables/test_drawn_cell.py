"""Published means over draws: the verdict against a Welch interval by SciPy, and what a table says of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from fewshot.errors import DataError
from fewshot.tables.drawn_cell import judged
from fewshot.tables.exact_table import as_json, count_exact, exact_cells, exact_table_of
from fewshot.tables.papers import ExactRow, ExactTable, Paper, load_paper

pytestmark = pytest.mark.usefixtures("no_shape_hook")  # stand-ins for records


def record(mean, spread=0.02, draws=400, queries=295, seed=0):
    values = np.random.default_rng(seed).normal(size=draws)
    accuracies = mean + spread * (values - values.mean()) / values.std(ddof=1)
    return SimpleNamespace(
        accuracies=accuracies, queries=queries, accuracy=float(accuracies.mean()), correct=[0] * draws,
        summary=SimpleNamespace(accuracy=mean, low=mean - 0.01, high=mean + 0.01),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "spread", "word"),
    [(0.402, 1.0, "reproduced"), (0.44, 1.0, "different"), (0.402, 3.0, "undecided"), (0.43, 3.0, "different")],
)
def test_words(ours, spread, word):
    assert judged(40.0, spread, 1, 10, 2.0, record(ours, 0.001)).word == word
    assert judged(40.0, spread, 1, 10, 2.0, None) is None


def test_the_interval_is_that_of_a_mean_with_unknown_spread():
    """With many draws of ours and exact digits, Student's interval of the ten published ones is left."""
    verdict = judged(40.0, 3.0, 12, 10, 2.0, record(0.40, 1e-9))
    half = scipy.stats.t.ppf(0.975, 9) * 0.03 * np.sqrt(10 / 9) / np.sqrt(10)
    assert verdict.outer[1] - verdict.difference == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("slip", ["divisor n - 1", "of a single draw", "normal"])
def test_wrong_spreads_differ(slip):
    half = judged(40.0, 3.0, 12, 10, 2.0, record(0.40, 1e-9)).outer[1]
    error = {"divisor n - 1": 0.03 / np.sqrt(10), "of a single draw": 0.03, "normal": 0.03 / 3}[slip]
    quantile = 1.96 if slip == "normal" else scipy.stats.t.ppf(0.975, 9)
    assert abs(quantile * error - half) > 0.02 * half


def test_without_a_printed_spread_ours_stands_in():
    wide, narrow = (judged(40.0, None, 1, 20, 2.0, record(0.40, s)) for s in (0.03, 0.01))
    assert wide.outer[1] - wide.outer[0] > narrow.outer[1] - narrow.outer[0]


def test_a_table_of_draws():
    row = ExactRow(method="one", label="l", values=[40.0, 25.0], digits=1, deviations=[1.0, 1.0])
    table = ExactTable(about="t", recipe="r", tasks=["a>b", "b>a"], rows=[row], draws=10, delta=2.0)
    paper = Paper(title="t", authors="a", venue="v", source="s", exact_tables={"x": table})
    cells = exact_cells(table, {"r-a-b-l": record(0.40), "r-b-a-l": record(0.35)})
    shown = exact_table_of(paper, table, cells)
    assert shown.columns[-1] == "reproduced" and shown.rows[0][-1] == "1 of 2" and shown.rows[0][2].endswith(" *")
    assert count_exact(cells) == "reproduced 1, different 1"
    assert as_json(cells[0])["interval_90"][0] < 0 < as_json(cells[0])["interval_90"][1]
    assert any("lies within ± 2 points; 10 draws" in note for note in shown.notes)
    assert exact_table_of(paper, table, exact_cells(table, {})).rows[0][1] == "40.0 | –"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ("draws: 10", "has both draws and delta"),
        ("delta: 1.0", "has both draws and delta"),
        ("note: x", r"deviations of row 'm' must be 1 over draws"),
    ],
)
def test_what_a_table_must_say(tmp_path, wrong, sentence):
    row = "{method: m, label: l, values: [1.0], deviations: [1.0]}"
    text = f"title: t\nauthors: a\nvenue: v\nsource: s\nexact_tables:\n  x: {{about: y, recipe: r, tasks: [a>b], {wrong}, rows: [{row}]}}\n"
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(DataError, match=sentence):
        load_paper(tmp_path / "own.yaml")
