"""Many learners in one table and one picture."""

import numpy as np
import pytest
from records import record

from fewshot.errors import RecordError
from fewshot.figures.board import learners_figure
from fewshot.records.record import LearnerInfo
from fewshot.tables.board import entries, label_of, learners_table
from fewshot.tables.record_tables import markdown, plain

BASE, BETTER = (3, 5, 4, 4, 2, 6), (4, 6, 4, 5, 3, 5)


def labelled(label, correct, manifest="m1", shot=1, transductive=False, queries="balanced", **known):
    made = record(correct, manifest=manifest, shot=shot, settings={"label": label}, **known)
    about = {
        "learner": LearnerInfo(name=label, transductive=transductive),
        "episodes": made.episodes.model_copy(update={"query_distribution": queries}),
    }
    return made.model_copy(update=about).with_answers(made.load_answers())


@pytest.fixture
def records():
    return [
        labelled("mean", BASE),
        labelled("mean", BETTER, "m5", 5),
        labelled("mean", BASE, "d1", 1, queries="Dirichlet(2)"),
        labelled("shifted", BETTER, transductive=True),
        labelled("shifted", BASE[::-1], "m5", 5, transductive=True),
        labelled("shifted", BASE, "d1", 1, transductive=True, queries="Dirichlet(2)", selection="C=1 on 'val'"),
        labelled("half", BETTER),
    ]


def test_differences_are_paired_by_episode(records):
    found = {(e.label, e.setting, e.queries): e.difference for e in entries(records, "mean")}
    gaps = (np.array(BETTER) - np.array(BASE)) / 6
    one = found["shifted", "3-way 1-shot", "balanced"]
    assert one.estimate == pytest.approx(gaps.mean()) and one.low < one.estimate < one.high
    assert one.high - one.estimate == pytest.approx(2.5705818 * gaps.std(ddof=1) / np.sqrt(6), rel=1e-6)
    assert found["mean", "3-way 5-shot", "balanced"] is None
    assert found["shifted", "3-way 1-shot", "Dirichlet(2)"].estimate == 0


def test_every_row_says_whether_it_looks_at_the_queries_and_which_they_are(records):
    table = learners_table(records, "mean", notes=["near-duplicates: none"])
    assert table.columns[:3] == ("learner", "looks at queries", "queries")
    rows = [row[:3] for row in table.rows]
    assert rows[:3] == [
        ("mean", "one by one", "balanced"),
        ("shifted", "all at once", "balanced"),
        ("half", "one by one", "balanced"),
    ]
    assert ("shifted", "all at once", "Dirichlet(2)") in rows
    half = table.rows[2]
    assert half[3].startswith("75.00") and half[4].startswith("+8.33") and half[5:] == ("–", "–")
    assert table.rows[0][4] == "reference"
    assert table.notes[-1] == "near-duplicates: none"
    assert any(note.endswith("validation classes: shifted") for note in table.notes)
    assert "shapes/test" in plain(table) and "| shifted | all at once | Dirichlet(2) |" in markdown(table)


def test_a_reference_without_a_record_is_refused(records):
    with pytest.raises(RecordError, match="the reference 'half' must have a record for every list of episodes"):
        entries(records, "half")


def test_the_label_is_the_recipes_own(records):
    assert label_of(records[0]) == "mean"
    assert label_of(record()) == "nearest-mean"


def test_the_picture_has_a_panel_a_setting_and_every_learner(records):
    figure = learners_figure(records, "mean")
    assert [axes.get_title() for axes in figure.axes] == ["3-way 1-shot", "3-way 5-shot"]
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert sorted(names) == ["half", "mean", "shifted"]
    drawn = [line.get_xdata()[0] for c in figure.axes[0].containers for line in c.lines[:1]]
    assert sorted(drawn) == pytest.approx(sorted(100 * np.array([4, 4, 4.5, 4, 4.5]) / 6))
    assert {c.lines[0].get_marker() for c in figure.axes[0].containers} == {"o", "^"}
