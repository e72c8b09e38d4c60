"""The race mechanism of ``benchmarks/speed``, and the checks that keep a race honest."""

import argparse
import gc
import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils.data import Sampler

from fewshot.contract import SupportSet
from fewshot.learners.metric.nearest_mean import NearestMean

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"


@pytest.fixture(scope="module", autouse=True)
def speed_on_path():
    sys.path.insert(0, str(SPEED))
    yield
    sys.path.remove(str(SPEED))


@pytest.fixture
def race():
    return importlib.import_module("race")


@pytest.fixture
def sampling():
    return importlib.import_module("sampling")


OURS, THEIRS = [1.0, 2.0, 4.0, 1.0, 2.0], [3.0, 2.0, 40.0, 4.0, 4.0]  # ratios 3, 1, 10, 4, 2


def test_a_ratio_is_the_median_of_the_rounds_with_quartiles(race):
    ratio = race.compare({"fewshot": OURS, "peer": THEIRS}, {"peer": 3.0})["peer"]
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 2.0, 4.0)
    assert ratio.met is True


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b: np.median(b) / np.median(a),
        lambda a, b: np.mean(np.divide(b, a)),
        lambda a, b: np.sum(b) / np.sum(a),
        lambda a, b: np.min(b) / np.min(a),
        lambda a, b: np.median(np.divide(a, b)),
    ],
    ids=["ratio of medians", "mean of ratios", "ratio of sums", "ratio of best", "upside down"],
)
def test_other_formulas_give_another_ratio(race, wrong):
    assert race.compare({"fewshot": OURS, "peer": THEIRS}, {})["peer"].median != pytest.approx(wrong(OURS, THEIRS))


def test_a_missed_target_says_so_and_no_target_says_nothing(race):
    times = {"fewshot": OURS, "peer": THEIRS, "other": THEIRS}
    ratios = race.compare(times, {"peer": 3.01})
    assert ratios["peer"].met is False
    assert ratios["other"].met is None


def test_rounds_rotate_so_that_each_starts_equally_often(race):
    orders = race.orders(["a", "b", "c"], 6)
    assert [order[0] for order in orders] == ["a", "b", "c", "a", "b", "c"]
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)


def test_contestants_take_turns_after_their_answers_were_checked(race):
    calls, checked = [], []

    def contestant(name):
        return lambda: calls.append(name) or name.upper()

    def check(answers):
        assert calls == ["fewshot", "peer"]
        checked.append(answers)
        return {"found": 1}

    heat = race.run("h", {n: contestant(n) for n in ("fewshot", "peer")}, check, rounds=2, targets={}, least=0.0)
    assert checked == [{"fewshot": "FEWSHOT", "peer": "PEER"}]
    assert calls[4:] == ["fewshot", "peer", "peer", "fewshot"]  # after a call for the answer and one to size the rounds
    assert heat.facts == {"found": 1}
    assert {name: len(seconds) for name, seconds in heat.seconds.items()} == {"fewshot": 2, "peer": 2}


def test_unequal_answers_stop_the_race(race):
    def check(answers):
        if answers["fewshot"] != answers["peer"]:
            raise AssertionError("answers differ")

    with pytest.raises(AssertionError, match="answers differ"):
        race.run("h", {"fewshot": lambda: 1, "peer": lambda: 2}, check, rounds=1, targets={})


def test_a_time_is_per_call_and_without_garbage_collection(race, monkeypatch):
    clock, seen = iter([10.0, 16.0]), []
    monkeypatch.setattr(race.time, "perf_counter", lambda: next(clock))
    assert race.timed(lambda: seen.append(gc.isenabled()), 3) == 2.0
    assert seen == [False, False, False]
    assert gc.isenabled()


def test_quick_calls_are_repeated_until_the_clock_can_tell(race, monkeypatch):
    used = []
    monkeypatch.setattr(race, "timed", lambda contestant, calls: used.append(calls) or 0.004)
    race.run("h", {"fewshot": lambda: 0}, lambda answers: None, rounds=2, targets={}, least=0.1)
    assert used == [1, 25, 25]


def test_an_absent_peer_is_named_and_the_rest_is_built(race, capsys):
    def absent():
        raise ModuleNotFoundError("No module named 'peer'")

    built = race.present({"fewshot": lambda: int, "peer": absent, "other": lambda: str})
    assert list(built) == ["fewshot", "other"]
    assert "peer does not take part (No module named 'peer'); scripts/peers installs it" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError):
        race.present({"fewshot": absent})


def test_the_report_is_an_aligned_table_and_a_file(race, capsys, tmp_path):
    settings = argparse.Namespace(rounds=5, threads=1, out=tmp_path)
    times = {"fewshot": OURS, "a peer": THEIRS}
    heat = race.Heat("a setting", times, race.compare(times, {"a peer": 25.0}), {"accuracy": 0.5})
    race.report("test", [heat], settings, race.machine(), ["a shim"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["heat", "contestant", "ms", "a", "call", "times", "as", "long", "quartiles", "target"]
    assert lines[3].split() == ["a", "setting", "a", "peer", "4000.000", "3.00", "2.00..4.00", ">=", "25", "missed"]
    assert lines[2].index("2000.000") == lines[3].index("4000.000")
    assert lines[4] == "note: a shim"
    written = json.loads((tmp_path / "test.json").read_text())
    assert written["heats"][0]["ratios"]["a peer"] == {
        "median": 3.0, "low": 2.0, "high": 4.0, "target": 25.0, "met": False,
    }  # fmt: skip
    assert written["heats"][0]["seconds"] == times
    assert written["machine"]["processor"] and written["machine"]["versions"]["torch"]
    assert len(written["machine"]["load_average"]) == len(written["machine"]["load_average_after"]) == 3


LABELS = np.arange(20).repeat(30)


def rows(sampling):
    """Structurally right episodes by plain loops."""
    rng = np.random.default_rng(0)
    episodes = [
        np.concatenate([rng.permutation(30)[:16] + 30 * k for k in rng.permutation(20)[:5]])
        for _ in range(sampling.EPISODES)
    ]
    return np.stack(episodes)


def test_right_episodes_pass_the_structural_check(sampling):
    sampling.check_structure(rows(sampling), LABELS)


@pytest.mark.parametrize("unsorted", [False, True])
def test_our_sampler_passes_both_checks(sampling, unsorted):
    labels = np.random.default_rng(1).permutation(LABELS) if unsorted else LABELS
    episodes = sampling.fewshot_batches(labels)()
    sampling.check_structure(sampling.ROWS["fewshot"](episodes), labels)
    sampling.check_labels(episodes, labels)


def repeat_an_item(r):
    r[3, 1] = r[3, 0]


def take_from_a_sixth_class(r):
    r[3, 0] = next(i for i in range(600) if LABELS[i] not in LABELS[r[3]])


def take_from_another_class(r):
    r[3, 0] = next(i for i in range(600) if LABELS[i] == LABELS[r[3, -1]] and i not in r[3])


def draw_an_episode_twice(r):
    r[3] = r[4][::-1]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (repeat_an_item, "an item appears twice"),
        (take_from_a_sixth_class, "has not 5 classes with 16 items each"),
        (take_from_another_class, "has not 5 classes with 16 items each"),
        (draw_an_episode_twice, "two episodes are equal"),
    ],
)
def test_faulty_episodes_do_not_pass(sampling, fault, message):
    faulty = rows(sampling)
    fault(faulty)
    with pytest.raises(AssertionError, match=message):
        sampling.check_structure(faulty, LABELS)


def test_too_few_episodes_do_not_pass(sampling):
    with pytest.raises(AssertionError, match="expected 256 episodes of 80 items"):
        sampling.check_structure(rows(sampling)[1:], LABELS)


def test_wrong_labels_and_counts_do_not_pass(sampling):
    good = sampling.fewshot_batches(LABELS)()
    fields = {name: getattr(good, name).copy() for name in ("classes", "support", "support_y", "query", "query_y")}
    swapped = SimpleNamespace(**{**fields, "support_y": fields["support_y"][:, ::-1]})
    with pytest.raises(AssertionError, match="names another class"):
        sampling.check_labels(swapped, LABELS)
    uneven = {**fields, "support": fields["support"].copy(), "support_y": fields["support_y"].copy()}
    uneven["support"][:, 0], uneven["support_y"][:, 0] = uneven["support"][:, 1], uneven["support_y"][:, 1]
    with pytest.raises(AssertionError, match="a class has not 1 items"):
        sampling.check_labels(SimpleNamespace(**uneven), LABELS)


def test_the_shim_is_gone_when_the_peer_is_built():
    peers, before = importlib.import_module("peers"), Sampler.__init__
    with peers._accept_data_source():
        Sampler(data_source=None)
    assert Sampler.__init__ is before
    assert bool(peers.notes()) == (not peers._sampler_takes_data_source())


def test_the_race_of_logistic_regressions_stops_at_other_probabilities_and_other_answers(monkeypatch):
    module = importlib.import_module("logistic_regression")
    monkeypatch.setattr(module, "SAME", 3)
    clouds = importlib.import_module("clouds")
    support, query = clouds.episodes(3, 2)
    answers = {
        "fewshot": clouds.ours(module.LogisticRegression(), support, query)(),
        "scikit-learn": module.scikit_learns(support, query)(),
    }
    facts = module.check(answers, support, query)
    assert facts["largest_difference_of_probabilities"] < 1e-4
    with pytest.raises(AssertionError, match="probabilities must agree"):
        module.check({**answers, "fewshot": 1.01 * answers["fewshot"]}, support, query)
    with pytest.raises(AssertionError, match="probabilities must agree"):
        module.check({**answers, "scikit-learn": answers["scikit-learn"].roll(1, -1)}, support, query)


@pytest.mark.parametrize(
    ("wrong", "message"), [(lambda a: 1.01 * a, "scores must agree"), (lambda a: a.roll(1, -1), "scores must agree")]
)
def test_races_against_easyfsl_stop_at_other_scores(wrong, message):
    clouds = importlib.import_module("clouds")
    scores = torch.rand(4, 15, 5, generator=torch.Generator().manual_seed(0))
    assert clouds.differing({"fewshot": scores, "easyfsl": scores}, 1e-4) == {"largest_difference_from_easyfsl": 0.0}
    with pytest.raises(AssertionError, match=message):
        clouds.differing({"fewshot": scores, "easyfsl": wrong(scores)}, 1e-4)


def test_a_peer_answers_episode_by_episode():
    clouds = importlib.import_module("clouds")
    support, query = clouds.episodes(3, 2)

    class Peer:
        def process_support_set(self, x, y):
            self.x, self.y = x, y

        def __call__(self, q):
            return NearestMean().adapt(SupportSet(self.x, self.y, 5))(q)

    theirs = clouds.easyfsls(Peer, support, query)()
    clouds.differing({"fewshot": clouds.ours(NearestMean(), support, query)(), "easyfsl": theirs}, 1e-3)
