"""Learners that assume as many queries of every class: who says so, whether it is true, and where it is shown."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cli import as_json, call, write_shapes

from fewshot import Collection, Embedded, EpisodeSpec, FewShotClassifier, evaluate
from fewshot.evaluation.choose import choose
from fewshot.learners.index import LEARNERS, find_learner, load_learner
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.learners.transductive.laplacian_shot import LaplacianShot
from fewshot.learners.transductive.pt_map import PTMAP
from fewshot.learners.transductive.tim_adm import TIMADM
from fewshot.learners.transductive.tim_gd import TIMGD
from fewshot.learners.transformed import Transformed
from fewshot.records.compare import compare
from fewshot.tables.board import learners_table
from fewshot.tables.record_tables import comparison_table, results_table
from fewshot.testing import check_learner

ROOT = Path(__file__).parents[2]
TOLD = "assumes that every class has as many queries"
EVEN, UNEVEN = EpisodeSpec(5, 5, 8), EpisodeSpec(5, 5, 8, dirichlet=1.0)
TRANSDUCTIVE = [name for name, entry in LEARNERS.items() if entry.transductive]
OPTIONS = {  # few steps to save time; rectification needs centred features, and these are all positive
    "alpha-tim": {"steps": 100, "lr": 1e-3},
    "tim-gd": {"steps": 100, "lr": 1e-3},
    "laplacian-shot": {"rectify": False},
}


def clusters(spread=0.9):
    """Six classes of 40 rows that nearest mean tells apart well, all features positive."""
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 40)
    return Collection.from_arrays(6 + 2 * rng.normal(size=(6, 12))[y] + spread * rng.normal(size=(240, 12)), y)


@pytest.mark.parametrize("name", TRANSDUCTIVE)
def test_who_claims_it_loses_by_unbalanced_queries_and_who_does_not_claim_it_does_not(name):
    learner, data = load_learner(name, **OPTIONS.get(name, {})), clusters()
    even, uneven = (evaluate(learner, data, spec, 40).accuracy for spec in (EVEN, UNEVEN))
    assert (even - uneven > 0.05) == bool(getattr(learner, "assumes_balanced_queries", False)), (even, uneven)


@pytest.mark.parametrize(
    ("learner", "claimed"),
    [
        (PTMAP(), True),
        (PTMAP(marginal="estimated"), False),
        (PTMAP(marginal=(0.5, 0.3, 0.2)), False),
        (TIMADM(), True),
        (TIMADM(marginal_weight=0.0), False),
        (TIMGD(), True),
        (TIMGD(marginal_weight=0.0), False),
    ],
    ids=str,
)
def test_the_claim_follows_the_options_through_every_wrapper(learner, claimed):
    wrapped = (learner, Embedded(torch.nn.Flatten(), learner), Transformed("normalise", learner))
    assert [one.assumes_balanced_queries for one in wrapped] == [claimed] * 3


def test_no_learner_that_answers_one_by_one_claims_it():
    for name in set(LEARNERS) - set(TRANSDUCTIVE):
        assert not hasattr(find_learner(name), "assumes_balanced_queries") or name == "transformed"


def test_the_record_and_every_table_say_so():
    rows = {"steady": NearestMean(), "map": PTMAP()}
    made = {name: evaluate(learner, clusters(), EVEN, 10) for name, learner in rows.items()}
    assert [sum(TOLD in note for note in record.notes) for record in made.values()] == [0, 1]
    tables = (
        results_table(made),
        comparison_table(made, "steady", compare(made, "steady")),
        learners_table(list(made.values()), "NearestMean"),
    )
    for table, shown in zip(tables, ("map", "map", "PTMAP"), strict=True):
        (line,) = (note for note in table.notes if TOLD in note)
        assert line.startswith(f"{shown}: ")
    assert not any(TOLD in note for note in results_table({"steady": made["steady"]}).notes)


def test_a_choice_says_so():
    assert [TOLD in note for note in choose(PTMAP, {"rate": [0.2]}, clusters(), EVEN, 4).notes] == [True]
    assert choose(NearestMean, {"metric": ["cosine"]}, clusters(), EVEN, 4).notes == []


def test_the_classifier_warns():
    data = clusters()
    with pytest.warns(UserWarning, match=TOLD):
        FewShotClassifier(learner="pt-map", calibrate=False).fit(data.items, data.labels)
    FewShotClassifier(learner="pt-map", learner_options={"marginal": "estimated"}, calibrate=False).fit(
        data.items, data.labels
    )


@pytest.mark.filterwarnings("default:.*as many queries:UserWarning")
def test_the_command_line_says_so(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    write_shapes(tmp_path / "shapes.npz")
    asked = ("--data", "shapes.npz", "--way", 3, "--query", 5, "--episodes", 4)
    assert TOLD in call("evaluate", *asked, "--learner", "tim-adm", "--option", "steps=5").stdout
    assert TOLD in call("tune", *asked, "--learner", "tim-adm", "--option", "steps=5,6").stdout
    labelled = call("classify", "shapes.npz", "shapes.npz", "--learner", "tim-adm", "--option", "steps=5")
    assert TOLD in labelled.stdout
    (line,) = (line for line in labelled.stderr.splitlines() if TOLD in line)
    assert line.startswith("warning: the learner")
    notes = as_json("classify", "shapes.npz", "shapes.npz", "--learner", "tim-adm", "--option", "steps=5")
    assert TOLD in notes["classifier"]["notes"][0]


class Claims:
    """An inductive learner with a claim."""

    def __init__(self, claim):
        self.assumes_balanced_queries = claim

    def adapt(self, support):
        return NearestMean().adapt(support)


@pytest.mark.parametrize(
    ("claim", "message"), [("yes", "must be True or False, got 'yes'"), (True, "must be transductive")]
)
def test_a_claim_that_means_nothing_fails_the_battery(claim, message):
    with pytest.raises(AssertionError, match=message):
        check_learner(Claims(claim))


# The committed measurement -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured():
    """``benchmarks/results/transductive.json``."""
    return json.loads((ROOT / "benchmarks" / "results" / "transductive.json").read_text("utf-8"))


def test_the_default_strength_is_the_one_that_the_measurement_chooses(measured):
    rows = [{key: value for key, value in row.items() if key[0].isdigit()} for row in measured["strengths"]]
    worst = {key: max(max(row.values()) - row[key] for row in rows) for key in rows[0]}
    assert float(min(worst, key=worst.__getitem__)) == LaplacianShot(rectify=False).strength
    assert measured["split"] == "val"


def test_claims_are_those_of_the_measurement(measured):
    lost = {}
    for row in measured["unbalanced"]:
        lost.setdefault(row["learner"], []).append(row["5 a class"] - row["Dirichlet(2)"])
    for label, points in lost.items():
        name, _, rest = label.partition(", ")
        learner = load_learner(name, **({"marginal": rest} if rest else {}))
        assert (min(points) > 3) == bool(getattr(learner, "assumes_balanced_queries", False)), (label, points)


def test_the_tables_of_the_pages_are_those_of_the_measurement(monkeypatch):
    spec = importlib.util.spec_from_file_location("transductive", ROOT / "benchmarks" / "transductive.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr("sys.argv", ["transductive.py", "--check"])
    assert script.main() == 0
