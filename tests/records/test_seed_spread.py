"""The spread between training runs: NumPy as oracle, slips that would be seen, and which records belong together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewshot.records.record import BackboneInfo, Record, TrainingInfo
from fewshot.records.seed_spread import SeedSpread, kind_of, pooled_spread, seed_term, spread_of
from fewshot.statistics.verdict import KNOWN, NO_TRAINING

SETTINGS = [
    [[0.97, 0.975, 0.971], [0.991, 0.993, 0.992]],  # two rows of the same three runs
    [[0.90, 0.91, 0.93, 0.92]],
]
SLIPS = ("ddof 0", "rows are more runs", "not weighted", "accuracy scale", "standard deviations averaged")


def slow(settings, slip=None):
    """Variance and degrees of freedom, run by run."""
    total, freedom = 0.0, 0
    for rows in settings:
        variances = []
        for row in rows:
            values = [p if slip == "accuracy scale" else np.log(p) - np.log1p(-p) for p in row]
            mean = sum(values) / len(values)
            squares = sum((v - mean) ** 2 for v in values)
            variances.append(squares / (len(values) - (slip != "ddof 0")))
        mean = np.mean(np.sqrt(variances)) ** 2 if slip == "standard deviations averaged" else np.mean(variances)
        weight = (len(rows[0]) - 1) * (len(rows) if slip == "rows are more runs" else 1)
        total, freedom = total + mean * (1 if slip == "not weighted" else weight), freedom + weight
    return total / (len(settings) if slip == "not weighted" else freedom), freedom


def test_the_spread_is_that_of_the_definition():
    found = pooled_spread(SETTINGS)
    assert (found.variance, found.freedom) == pytest.approx(slow(SETTINGS), rel=1e-12)
    assert found.freedom == 5


@pytest.mark.slip
@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_be_seen(slip):
    found = pooled_spread(SETTINGS)
    assert (found.variance, found.freedom) != pytest.approx(slow(SETTINGS, slip), rel=1e-3)


@given(st.floats(0.6, 0.99), st.floats(1e-4, 2e-3))
def test_back_on_the_scale_of_accuracies_a_small_spread_is_itself(mean, spread):
    row = [mean - spread, mean, mean + spread]
    term = pooled_spread([[row]]).at(mean)
    assert np.sqrt(term.variance) == pytest.approx(spread, rel=0.2)
    assert term.freedom == 2


def test_two_runs_say_nothing():
    assert pooled_spread([[[0.9, 0.91]]]) is None
    assert pooled_spread([]) is None


def record(accuracy, learner="protonet", seed=0, way=5, trained=True):
    """A record with what the spread looks at."""
    base = Record.load("benchmarks/results/omniglot-protonet-5w1s.json")
    budget = {"way": way, "seed": seed, "seconds": float(seed)}
    training = TrainingInfo(split="s", budget=budget, seed=seed, classes_hash="h") if trained else None
    return base.model_copy(
        update={
            "learner": base.learner.model_copy(update={"name": learner}),
            "summary": base.summary.model_copy(update={"accuracy": accuracy}),
            "training": training,
            "pretraining_classes": base.pretraining_classes if trained else None,
        }
    )


@pytest.fixture(autouse=True)
def at_root(monkeypatch, pytestconfig):
    monkeypatch.chdir(pytestconfig.rootpath)


def test_records_are_pooled_by_learner_network_and_data():
    first = [record(a, seed=k) for k, a in enumerate((0.97, 0.975, 0.971))]
    again = [record(a, seed=k) for k, a in enumerate((0.991, 0.993, 0.992))]
    other = [record(a, "maml", k) for k, a in enumerate((0.5, 0.6, 0.7))]
    lone = [record(0.96, way=20)]
    spreads = spread_of([first, again, other, lone])
    assert set(spreads) == {kind_of(first[0]), kind_of(other[0])}
    assert spreads[kind_of(first[0])] == pooled_spread(SETTINGS[:1])  # one setting, whose rows bring no more freedom
    assert seed_term(lone, spreads) == spreads[kind_of(first[0])].at(0.96)
    assert seed_term([record(0.5, "anil")], spreads) is None


def test_other_budgets_are_settings_of_their_own():
    runs = [[record(a, seed=k, way=way) for k, a in enumerate((0.97, 0.975, 0.971))] for way in (5, 20)]
    assert spread_of(runs)[kind_of(runs[0][0])].freedom == 4


def test_what_is_not_trained_does_not_differ_between_runs():
    assert seed_term([record(0.4, trained=False)], {}) == NO_TRAINING
    assert NO_TRAINING.variance == 0 and NO_TRAINING.freedom == KNOWN
    assert seed_term([record(0.4)], {}) is None
    base = record(0.4, trained=False)
    others = BackboneInfo(name="resnet18", pretraining="ImageNet-1k")
    assert (
        seed_term([base.model_copy(update={"backbone": others})], {}) is None
    )  # other weights would give another number
    assert SeedSpread(0.01, 2).at(0.5).variance == pytest.approx(0.01 / 16)
