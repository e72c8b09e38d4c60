"""Open-set figures: scikit-learn's ROC curve as oracle, which measures there are, and what a record says of them."""

import json

import numpy as np
import pytest
import torch
from cli import as_json, call, refused, write_shapes
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.metrics import roc_auc_score, roc_curve

from fewshot.backbones.index import load_backbone
from fewshot.contract import SupportSet, per_episode, with_known
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSampler, EpisodeSpec, FixedEpisodes
from fewshot.errors import LeakageError, ShapeError, StatisticsError
from fewshot.evaluation.evaluate import evaluate
from fewshot.evaluation.verify import verify
from fewshot.learners.adapters import from_function
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.records.record import Record
from fewshot.statistics.open_set import auroc, fpr_at_tpr

SPEC = EpisodeSpec(way=3, shot=2, query=4, open_way=2, open_query=3)


def truth(known, other):
    return np.r_[np.ones(len(known)), np.zeros(len(other))], np.r_[known, other]


def sklearns_auroc(known, other):
    return roc_auc_score(*truth(known, other))


def sklearns_fpr(known, other, tpr=0.95):
    false, true, _ = roc_curve(*truth(known, other), drop_intermediate=False)
    return false[true >= tpr][0]


TIED = st.lists(st.integers(-4, 4), min_size=1, max_size=60).map(np.float64)
DISTINCT = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60).map(np.float64)


@given(TIED | DISTINCT, TIED | DISTINCT, st.sampled_from([0.5, 0.8, 0.95, 1.0]))
def test_the_figures_are_scikit_learns(known, other, tpr):
    assert auroc(known, other) == pytest.approx(sklearns_auroc(known, other), abs=1e-12)
    assert fpr_at_tpr(known, other, tpr) == pytest.approx(sklearns_fpr(known, other, tpr), abs=1e-12)


@pytest.mark.parametrize("count", [19, 20, 21, 40, 60, 75, 100, 140, 260, 1180])
def test_95_per_cent_of_every_number_of_queries(count):
    """0.95 times these numbers is whole, or nearly so: rounding must not let one query more through."""
    known, other = np.arange(float(count)), np.arange(-count // 2, count) + 0.5
    assert fpr_at_tpr(known, other) == pytest.approx(sklearns_fpr(known, other), abs=1e-12)


WRONG_AUROC = {
    "ties count as right": lambda k, o: (k[:, None] >= o).mean(),
    "ties count as wrong": lambda k, o: (k[:, None] > o).mean(),
    "the other way round": lambda k, o: 1 - sklearns_auroc(k, o),
    "by the means": lambda k, o: (k > o.mean()).mean(),
}
WRONG_FPR = {
    "threshold passed only from above": lambda k, o: (o > np.sort(k)[len(k) - -(-19 * len(k) // 20)]).mean(),
    "five per cent of the others": lambda k, o: (k >= np.sort(o)[len(o) - -(-19 * len(o) // 20)]).mean(),
    "quantile by interpolation": lambda k, o: (o >= np.quantile(k, 0.05)).mean(),
    "known ones rounded down": lambda k, o: (o >= np.sort(k)[len(k) - 19 * len(k) // 20]).mean(),
    "TPR at 5 % FPR": lambda k, o: (k > np.sort(o)[19 * len(o) // 20 - 1]).mean(),
}
KNOWN = np.float64([5, 4, 4, 3, 3, 3, 2, 2, 1, 1, 0, 0, 5])
OTHER = np.float64([3, 2, 2, 1, 1, 0, 0, -1, -1, 0])


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_AUROC.values(), ids=WRONG_AUROC)
def test_wrong_areas_are_caught(wrong):
    assert auroc(KNOWN, OTHER) == pytest.approx(sklearns_auroc(KNOWN, OTHER))
    assert wrong(KNOWN, OTHER) != pytest.approx(sklearns_auroc(KNOWN, OTHER), abs=1e-6)


@pytest.mark.slip
@pytest.mark.parametrize("wrong", WRONG_FPR.values(), ids=WRONG_FPR)
def test_wrong_rates_are_caught(wrong):
    cases = [(KNOWN, OTHER), (np.arange(30.0), np.arange(-20.0, 20.0)), (np.arange(9.0) + 0.5, np.arange(-5.0, 8.0))]
    assert all(fpr_at_tpr(k, o) == pytest.approx(sklearns_fpr(k, o)) for k, o in cases)
    assert any(wrong(k, o) != pytest.approx(sklearns_fpr(k, o), abs=1e-6) for k, o in cases)


def test_a_known_number():
    assert auroc(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == 0.875
    assert fpr_at_tpr(np.array([1.0, 2.0]), np.array([0.0, 1.0])) == 0.5


def test_what_has_no_figure_is_refused(no_shape_hook):
    for figure in (auroc, fpr_at_tpr):
        with pytest.raises(
            StatisticsError, match=r"known and other queries are needed, .* got shapes \(0,\) and \(1,\)"
        ):
            figure(np.array([]), np.array([1.0]))
        with pytest.raises(StatisticsError, match="must be a number, got NaN"):
            figure(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(StatisticsError, match=r"above 0 and at most 1, got 1\.5"):
        fpr_at_tpr(np.ones(2), np.ones(2), 1.5)


def made(seed=0, classes=12, spread=1.0):
    """Shuffled classes of unequal size in eight dimensions."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(classes).repeat(rng.integers(8, 15, classes)))
    return Collection.from_arrays(rng.normal(size=(len(y), 8)) + spread * rng.normal(size=(classes, 8))[y], y)


def slow(collection, measure, episodes=30, seed=0):
    """AUROC and FPR95 of each episode by scikit-learn, from distances in plain NumPy."""
    sampler, x, figures = EpisodeSampler(collection.labels, SPEC, seed), np.float64(collection.items), []
    for i in range(episodes):
        e = sampler[i]
        means = np.stack([x[e.support[e.support_y == k]].mean(0) for k in range(3)])
        scores = -((x[e.query][:, None] - means) ** 2).sum(2)
        known, is_known = measure(scores), e.query_y < 3
        figures.append([f(known[is_known], known[~is_known]) for f in (sklearns_auroc, sklearns_fpr)])
    return np.array(figures)


MEASURES = {
    "largest score": lambda scores: scores.max(1),
    "largest probability": lambda scores: softmax(scores, axis=1).max(1),
    "nearest mean": lambda scores: scores.max(1),
}


@pytest.mark.parametrize("batch", [1, 64])
def test_a_record_has_the_mean_of_each_episodes_own_value(batch):
    record = evaluate(NearestMean(), made(), SPEC, 30, batch=batch)
    assert [found.known_by for found in record.open_set] == list(MEASURES)
    for found in record.open_set:
        figures = slow(made(), MEASURES[found.known_by])
        np.testing.assert_allclose([found.auroc.mean, found.fpr95.mean], figures.mean(0), rtol=1e-9)
        half = 2.045 * figures.std(0, ddof=1) / 30**0.5
        np.testing.assert_allclose(
            [(m.high - m.low) / 2 for m in (found.auroc, found.fpr95)], half, rtol=0.06
        )  # t, or the logit form near the ends
        assert found.auroc.estimand == "these episodes' images" and found.auroc.count == 30


def test_pooling_the_episodes_would_give_other_numbers():
    """One threshold for all episodes is another question, and here another answer."""
    answers = evaluate(NearestMean(), made(), SPEC, 30).load_answers()
    pooled = auroc(answers.known[answers.is_known, 0], answers.known[~answers.is_known, 0])
    assert pooled != pytest.approx(slow(made(), MEASURES["largest score"])[:, 0].mean(), abs=1e-3)


def test_accuracy_and_calibration_are_those_of_the_known_queries():
    record = evaluate(NearestMean(), made(), SPEC, 30, keep_scores=True)
    answers = record.load_answers()
    known, right = answers.true >= 0, answers.true == answers.predicted
    assert record.queries == 12 and answers.is_known.sum() == 30 * 12 and len(answers.true) == 30 * 18
    assert record.accuracy == pytest.approx(right[known].mean())
    bins = np.minimum(np.ceil(answers.confidence[known] * 15).astype(int) - 1, 14)
    gaps = [abs((answers.confidence[known] - right[known])[bins == b].sum()) for b in range(15)]
    assert record.summary.calibration_error == pytest.approx(sum(gaps) / known.sum())


def test_closed_episodes_have_no_such_figures():
    record = evaluate(NearestMean(), made(), EpisodeSpec(3, 2, 4), 10)
    assert record.open_set == [] and record.load_answers().known is None
    none_asked = evaluate(NearestMean(), made(), EpisodeSpec(3, 2, 4, open_way=1, open_query=0), 10)
    assert none_asked.open_set == []


def test_perfect_separation_gets_a_bound_and_not_a_point():
    record = evaluate(NearestMean(), made(spread=1000.0), SPEC, 10)
    rows, known = record.load_answers().rows, record.load_answers().is_known
    found = record.open_set[0]
    assert (found.auroc.mean, found.auroc.high, found.fpr95.mean, found.fpr95.low) == (1, 1, 0, 0)
    asked, opened = len(np.unique(rows[known])), len(np.unique(rows[~known]))
    assert found.auroc.low == pytest.approx(0.05 ** (1 / min(asked, opened)))
    assert found.fpr95.high == pytest.approx(1 - 0.05 ** (1 / opened))


class OwnMeasure:
    """Nearest mean that knows a query by its distance to the nearest example."""

    def adapt(self, support):
        return with_known(NearestMean().adapt(support), lambda query: -torch.cdist(query, support.x).amin(-1))


class OwnMeasureOfOne:
    @per_episode
    def adapt(self, support):
        return OwnMeasure().adapt(support)


def test_a_classifiers_own_measure_comes_first():
    collection = made()
    record = evaluate(OwnMeasure(), collection, SPEC, 30)
    assert [found.known_by for found in record.open_set] == ["classifier's own", *MEASURES]
    sampler, x, each = EpisodeSampler(collection.labels, SPEC, 0), np.asarray(collection.items), []
    for i in range(30):
        e = sampler[i]
        nearest = -np.linalg.norm(x[e.query][:, None] - x[e.support], axis=2).min(1)
        each.append(sklearns_auroc(nearest[e.query_y < 3], nearest[e.query_y == 3]))
    assert record.open_set[0].auroc.mean == pytest.approx(np.mean(each))


def test_it_passes_through_batches_and_backbones():
    support = SupportSet(torch.randn(2, 3, 4), torch.tensor([[0, 1, 0], [1, 0, 1]]), 2)
    query = torch.randn(2, 5, 4)
    own = OwnMeasure().adapt(support).known(query)
    torch.testing.assert_close(OwnMeasureOfOne().adapt(support).known(query), own)
    doubled = Embedded(torch.nn.Identity(), OwnMeasure()).adapt(support)
    torch.testing.assert_close(doubled.known(query), own)
    assert not hasattr(Embedded(torch.nn.Identity(), NearestMean()).adapt(support), "known")


def test_a_measure_that_looks_at_neighbours_is_refused():
    class Relative:
        def adapt(self, support):
            own = OwnMeasure().adapt(support)
            return with_known(NearestMean().adapt(support), lambda q: own.known(q) - own.known(q).mean(1, keepdim=True))

    with pytest.raises(LeakageError, match=r"got known\(query\) that change by"):
        evaluate(Relative(), made(), SPEC, 10)


def test_a_measure_needs_one_number_a_query():
    class Wide:
        def adapt(self, support):
            classify = NearestMean().adapt(support)
            return with_known(classify, classify)

    with pytest.raises(ShapeError, match=r"must give one number a query, \(2, 18\), got \(2, 18, 3\)"):
        evaluate(Wide(), made(), SPEC, 10)


def test_only_measures_that_make_sense_are_reported():
    ranks = from_function(lambda x, y, q: -torch.cdist(q, torch.stack([x[y == k].mean(0) for k in range(3)])))
    assert [f.known_by for f in evaluate(ranks, made(), SPEC, 5).open_set] == ["largest score", "nearest mean"]
    flat = made()
    images = Collection.from_arrays(np.asarray(flat.items).reshape(-1, 2, 4), flat.labels)
    on_images = from_function(lambda x, y, q: ranks.function(x.flatten(1), y, q.flatten(1)))
    assert [f.known_by for f in evaluate(on_images, images, SPEC, 5).open_set] == ["largest score"]


def test_fixed_lists_and_ranges_of_ways_have_them_too():
    sampler = EpisodeSampler(made().labels, SPEC, 0)
    listed = evaluate(NearestMean(), made(), episodes=FixedEpisodes([sampler[i] for i in range(20)], "a list"))
    drawn = evaluate(NearestMean(), made(), SPEC, 20)
    assert listed.open_set == drawn.open_set
    closed = [EpisodeSampler(made().labels, EpisodeSpec(3, 2, 4))[i] for i in range(3)]
    mixed = FixedEpisodes([*(sampler[i] for i in range(20)), *closed], "mixed")
    found = evaluate(NearestMean(), made(), episodes=mixed)
    assert found.open_set == drawn.open_set and found.open_set[0].auroc.count == 20
    ranged = evaluate(NearestMean(), made(), EpisodeSpec((2, 4), (1, 2), 3, open_way=2), 20)
    assert len(ranged.open_set) == 3 and len(set(ranged.queries)) > 1


def test_it_survives_the_disk_and_older_records_are_read_and_verified(tmp_path):
    collection = made()
    record = evaluate(NearestMean(), collection, SPEC, 20).save(tmp_path / "r.json")
    read = Record.load(tmp_path / "r.json")
    assert read.open_set == record.open_set
    stored = read.load_answers(tmp_path)
    np.testing.assert_array_equal(stored.known, record.load_answers().known)
    assert stored.known_by.tolist() == list(MEASURES)
    old = json.loads((tmp_path / "r.json").read_text())
    del old["open_set"]
    old["queries"] = 18  # once, queries of open classes counted as wrong
    old["summary"]["accuracy"] *= 12 / 18
    (tmp_path / "old.json").write_text(json.dumps(old))
    before = Record.load(tmp_path / "old.json")
    sampler = EpisodeSampler(collection.labels, SPEC, 0)
    assert before.open_set == [] and verify(before, NearestMean(), collection, sampler).holds
    assert verify(read, NearestMean(), collection, sampler).holds


ASKED = (
    "evaluate",
    "--learner",
    "nearest-mean",
    "--way",
    3,
    "--shot",
    2,
    "--query",
    4,
    "--episodes",
    20,
    "--out",
    "out",
)


def test_the_command_line_asks_open_classes(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    write_shapes("shapes.npz", classes=12)
    opened = (*ASKED, "--data", "shapes.npz", "--open-classes", 2, "--open-query", 3)
    record = as_json(*opened)
    own = evaluate(NearestMean(), load_dataset("shapes.npz"), SPEC, 20)
    assert record["episodes"]["spec"]["open_way"] == 2 and record["queries"] == 12
    assert record["open_set"][0]["auroc"]["mean"] == pytest.approx(own.open_set[0].auroc.mean, rel=1e-6)
    text = call(*opened).stdout
    assert "AUROC %" in text and "nearest mean" in text and "each episode's own value, mean over episodes" in text
    shown = call("show", next((tmp_path / "out").glob("*.json"))).stdout
    assert "largest probability" in shown and "2 open classes" in shown
    closed = call(*ASKED, "--data", "shapes.npz").stdout
    assert "AUROC" not in closed
    assert len(as_json("verify", "out")) == 2
    told = refused(*ASKED, "--data", "shapes.npz", "--open-classes", 10)
    assert "way must be at most the number of classes" in told and "open classes" in told
    assert "open_query needs open_way" in refused(*ASKED, "--data", "shapes.npz", "--open-query", 3)


def test_digits():
    """Ten classes of pixels: five known ones, and five that are only asked."""
    digits = load_dataset("digits")
    learner = Embedded(load_backbone("pixels"), NearestMean())
    found = evaluate(learner, digits, EpisodeSpec(5, 5, 10, open_way=5), 40).open_set
    assert [f.known_by for f in found] == list(MEASURES)
    assert 0.8 < found[0].auroc.mean < 0.95 and found[0].auroc.mean > found[1].auroc.mean


def test_omniglot_with_the_shipped_network(data_root):
    """A distance knows new characters better than a probability does, which only compares the classes."""
    data_root("omniglot")
    test = load_dataset("omniglot", rotations="none").split("test")
    learner = Embedded(load_backbone("conv4-omniglot"), NearestMean())
    few = test.subset(test.labels < 60)
    score, probability, nearest = evaluate(learner, few, EpisodeSpec(5, 1, 10, open_way=5), 40).open_set
    assert score.auroc.low > 0.9 and nearest == score.model_copy(update={"known_by": "nearest mean"})
    assert probability.auroc.high < score.auroc.low
