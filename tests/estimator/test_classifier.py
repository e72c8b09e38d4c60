"""``FewShotClassifier``: answers of the learner, labels of the user, more examples, rejection, bad input."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch import nn

from fewshot import NearestMean, SupportSet, from_function, per_episode
from fewshot.errors import DataError, EpisodeError, FewShotError, StatisticsError, UnknownNameError
from fewshot.estimator.classifier import FewShotClassifier


def blobs(shots=(4, 2, 3), dim=5, queries=8, seed=0, spread=0.6):
    """``(x, ids, query)`` of Gaussian classes in shuffled order."""
    rng = np.random.default_rng(seed)
    centres = 2 * rng.normal(size=(len(shots), dim))
    ids = rng.permutation(np.repeat(np.arange(len(shots)), shots))
    asked = rng.integers(len(shots), size=queries)
    return (
        centres[ids] + spread * rng.normal(size=(len(ids), dim)),
        ids,
        centres[asked] + spread * rng.normal(size=(queries, dim)),
    )


NAMES = np.array(["walrus", "ant", "fox"])


@pytest.mark.parametrize(
    "labels",
    [
        NAMES,
        NAMES.astype(object),
        NAMES.astype(np.dtypes.StringDType()),
        np.array([30, -7, 4]),
        np.array([0.5, 2, 1]) * 2,
    ],
    ids=["str", "object", "StringDType", "int", "float"],
)
def test_labels_of_the_user_go_in_and_come_out(labels):
    x, ids, query = blobs()
    classifier = FewShotClassifier(learner=NearestMean()).fit(x, labels[ids])
    support = SupportSet(torch.from_numpy(x)[None], torch.from_numpy(ids)[None], 3)
    best = NearestMean().adapt(support)(torch.from_numpy(query)[None])[0].argmax(-1)
    assert classifier.predict(query).tolist() == labels[best.numpy()].tolist()
    assert classifier.classes_.tolist() == sorted(labels.tolist())
    assert type(classifier.predict(query).tolist()[0]) is type(labels.tolist()[0])


def test_truth_values_are_labels():
    x, ids, query = blobs((3, 3))
    assert FewShotClassifier().fit(x, ids == 1).predict(query).dtype == bool


def test_examples_in_parts_are_as_examples_at_once():
    x, ids, query = blobs((4, 3, 5), seed=1)
    parts = FewShotClassifier()
    for rows in (slice(0, 5), slice(5, 6), slice(6, None)):
        parts.partial_fit(x[rows], NAMES[ids[rows]])
    whole = FewShotClassifier().fit(x, NAMES[ids])
    np.testing.assert_allclose(parts.predict_proba(query), whole.predict_proba(query), rtol=1e-9)


def test_new_classes_come_without_embedding_anything_again():
    calls = []

    class Counted(nn.Module):
        def forward(self, rows):
            calls.append(len(rows))
            return rows

    x, ids, query = blobs((4, 3, 5), seed=1)
    order = np.argsort(ids)
    x, ids = x[order], ids[order]
    classifier = FewShotClassifier(Counted()).fit(x[:7], NAMES[ids[:7]])
    assert classifier.classes_.tolist() == ["ant", "walrus"]
    classifier.partial_fit(x[7:], NAMES[ids[7:]])
    assert classifier.classes_.tolist() == ["ant", "fox", "walrus"] and calls == [7, 5]
    assert "fox" in classifier.predict(query)


def test_fit_forgets():
    x, ids, query = blobs()
    classifier = FewShotClassifier().fit(x, NAMES[ids])
    assert set(classifier.fit(x, ids).predict(query)) <= {0, 1, 2}


def test_declared_classes():
    x, ids, query = blobs((4, 3), seed=1)
    classifier = FewShotClassifier().partial_fit(x, NAMES[ids], classes=["fox", "ant", "walrus"])
    assert classifier.classes_.tolist() == ["ant", "fox", "walrus"]
    assert (classifier.predict_proba(query)[:, 1] == 0).all()
    np.testing.assert_allclose(classifier.predict_proba(query).sum(1), 1)
    before = classifier.predict_proba(query)
    with pytest.raises(UnknownNameError, match="the label must be a known name, got 'foxx'; did you mean 'fox'"):
        classifier.partial_fit(x[:1], ["foxx"])
    with pytest.raises(UnknownNameError, match="got 'elk'"):
        FewShotClassifier().partial_fit(x[:2], ["elk", "ant"], classes=NAMES)
    with pytest.raises(DataError, match="declared in the first call"):
        classifier.partial_fit(x[:1], ["fox"], classes=["fox", "elk"])
    np.testing.assert_array_equal(classifier.predict_proba(query), before)
    assert classifier.partial_fit(x[:1] + 9, ["fox"], classes=NAMES).predict(x[:1] + 9).tolist() == ["fox"]


@pytest.mark.parametrize(("label", "dtype"), [("none of them", "U"), (None, "O"), (-1, "O")])
def test_uncertain_answers_can_be_rejected(label, dtype):
    x, ids, query = blobs(spread=1.5, queries=40)
    sure = FewShotClassifier(learner="nearest-mean").fit(x, NAMES[ids])
    limit = float(np.median(sure.predict_proba(query).max(1)))
    answers = (
        FewShotClassifier(learner="nearest-mean", reject_below=limit, reject_label=label)
        .fit(x, NAMES[ids])
        .predict(query)
    )
    certain = sure.predict_proba(query).max(1) >= limit
    assert answers.dtype.kind == dtype and 0 < certain.sum() < 40
    assert answers.tolist() == [
        a if sure else label for a, sure in zip(sure.predict(query).tolist(), certain, strict=True)
    ]


def test_numbers_and_a_number_for_the_rejected_stay_numbers():
    x, ids, query = blobs()
    answers = FewShotClassifier(reject_below=1.0, reject_label=-1).fit(x, ids).predict(query)
    assert answers.dtype.kind == "i" and (answers == -1).all()


def test_a_limit_that_is_no_probability_is_refused():
    x, ids, query = blobs()
    with pytest.raises(FewShotError, match=r"reject_below must be a probability in 0..1, got 60; 0.6 is 60 %"):
        FewShotClassifier(reject_below=60).fit(x, ids).predict(query)


@pytest.mark.parametrize("limit", ["0.6", float("nan"), True, -0.1, [0.5]])
def test_what_is_no_limit_is_refused_by_fit_and_by_predict(limit):
    x, ids, query = blobs()
    with pytest.raises(FewShotError, match=r"reject_below must be a probability in 0..1, got"):
        FewShotClassifier(reject_below=limit).fit(x, ids)
    with pytest.raises(FewShotError, match=r"reject_below must be a probability in 0..1, got"):
        FewShotClassifier().fit(x, ids).set_params(reject_below=limit).predict(query)


def test_scores_that_only_rank_cannot_reject():
    x, ids, query = blobs()
    rank = from_function(lambda x, y, q: -torch.cdist(q, torch.stack([x[y == k].mean(0) for k in range(3)]), p=1))
    classifier = FewShotClassifier(learner=rank, calibrate=False, reject_below=0.5).fit(x, ids)
    with pytest.raises(
        StatisticsError, match=r"reject_below=0.5 needs probabilities, got a learner whose scores only rank"
    ):
        classifier.predict(query)
    assert FewShotClassifier(learner=rank, reject_below=0.5).fit(x, ids).predict(query).shape == (8,)


@pytest.mark.parametrize("label", [None, "unknown", -1])
def test_rejected_items_count_as_wrong_in_the_score(label):
    x, ids, query = blobs(spread=1.5, queries=40)
    sure = FewShotClassifier(learner="nearest-mean").fit(x, NAMES[ids])
    truth = sure.predict(query)
    limit = float(np.median(sure.predict_proba(query).max(1)))
    some = FewShotClassifier(learner="nearest-mean", reject_below=limit, reject_label=label).fit(x, NAMES[ids])
    kept = sure.predict_proba(query).max(1) >= limit
    assert sure.score(query, truth) == 1 and some.score(query, truth) == kept.mean()
    assert some.score(query, truth, sample_weight=1 + kept) == pytest.approx(2 * kept.sum() / (1 + kept).sum())
    if label == "unknown":
        assert some.score(query, np.where(kept, truth, "unknown")) == 1
    with pytest.raises(DataError, match="labels must be all texts or all numbers, got 0 after 'ant'"):
        some.score(query, np.zeros(40, int))


@pytest.mark.parametrize("seed", [None, "0", -1, 0.5, np.random.RandomState(0)])
def test_a_seed_is_a_whole_number(seed):
    x, ids, _ = blobs()
    with pytest.raises(FewShotError, match=r"seed must be a whole number in 0\.\.2\^63-1, got"):
        FewShotClassifier(seed=seed).fit(x, ids)
    assert FewShotClassifier(seed=np.int64(3)).fit(x, ids).model_.seed == 3


@pytest.mark.parametrize("coverage", ["0.9", None, float("nan"), True, 0, 1, [0.9]])
def test_a_coverage_is_a_number_between_0_and_1(no_shape_hook, coverage):
    x, ids, query = blobs()
    classifier = FewShotClassifier(learner="nearest-mean").fit(x, ids)
    for calibration in (None, (x + 0.1, ids)):
        with pytest.raises(StatisticsError, match="coverage must be a number between 0 and 1, got"):
            classifier.predict_set(query, coverage, calibration)


@pytest.mark.parametrize(
    "kind", ["bfloat16", "csr", "sparse tensor", "rows turned round", "columns turned round", "half"]
)
def test_rows_in_other_arrays(kind):
    x, ids, query = blobs()
    x = np.round(4 * x) / 4  # what bfloat16 holds
    forms = {
        "bfloat16": lambda x: torch.tensor(x).bfloat16(),
        "half": lambda x: x.astype(np.float16),
        "csr": csr_array,
        "sparse tensor": lambda x: torch.tensor(x).to_sparse(),
        "rows turned round": lambda x: np.ascontiguousarray(x[::-1])[::-1],
        "columns turned round": lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    }
    classifier = FewShotClassifier().fit(forms[kind](x), ids)
    query = np.round(4 * query) / 4
    wanted = FewShotClassifier().fit(x, ids).predict_proba(query)
    np.testing.assert_allclose(classifier.predict_proba(forms[kind](query)), wanted, atol=1e-4)


@dataclass(frozen=True)
class QueryMean:
    """Distance to class means after the queries were centred: transductive."""

    transductive = True

    @per_episode
    def adapt(self, support):
        means = torch.stack([support.x[support.y == k].mean(0) for k in range(support.n_way)])
        means = means - support.x.mean(0)
        return lambda query: -torch.cdist(query - query.mean(0), means)


def test_a_transductive_learner_takes_the_call_as_its_queries():
    x, ids, query = blobs(queries=30)
    classifier = FewShotClassifier(learner=QueryMean(), calibrate=False).fit(x, ids)
    whole, alone = classifier.predict_proba(query), classifier.predict_proba(query[:1])
    assert not np.allclose(whole[:1], alone)
    support = SupportSet(torch.from_numpy(x)[None], torch.from_numpy(ids)[None], 3)
    expected = QueryMean().adapt(support)(torch.from_numpy(query)[None])[0].softmax(-1)
    np.testing.assert_allclose(whole, expected.numpy())
    with pytest.raises(StatisticsError, match="got a transductive one"):
        classifier.predict_set(query)


def test_a_module_is_copied_and_asked_in_eval_mode():
    class Dropped(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def adapt(self, support):
            classify = NearestMean().adapt(support.map(self.drop))
            return lambda query: classify(self.drop(query))

    x, ids, query = blobs()
    learner = Dropped().train()
    classifier = FewShotClassifier(learner=learner).fit(x, ids)
    np.testing.assert_array_equal(classifier.predict_proba(query), classifier.predict_proba(query))
    assert learner.training


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[0.0, np.nan], [1, 1]], [0, 1], "Input X contains NaN"),
        ([[0.0, np.inf], [1, 1]], [0, 1], "infinity"),
        ([[0.0, 1.0], [1, 1]], [0, 1, 1], "every item needs one label, got 2 items and 3 labels"),
        ([[0.0, 1.0], [1, 1]], ["a", None], "every item needs a label, got None in row 1"),
        ([[0.0, 1.0], [1, 1]], np.array(["a", None], object), r"every item needs a label, got None in row 1"),
        ([[0.0, 1.0], [1, 1]], [0.0, np.nan], "got nan in row 1"),
        ([[0.0, 1.0], [1, 1]], ["a", 1], "all texts or all numbers, got 'a' in row 0 and 1 in row 1"),
        ([[0.0, 1.0], [1, 1]], [0.3, 0.7], "Unknown label type: continuous.*got the fraction 0.3 in row 0"),
        ([[0.0, 1.0], [1, 1]], None, "the target y is None"),
        (np.zeros((0, 2)), [], "minimum of 1 is required"),
    ],
)
def test_bad_rows_and_labels_are_refused_by_name_in_one_sentence(x, y, message):
    with pytest.raises(DataError, match=message) as caught:
        FewShotClassifier().fit(x, y)
    assert "\n" not in str(caught.value)


def test_rows_of_another_length_are_refused():
    x, ids, _ = blobs()
    classifier = FewShotClassifier().fit(x, ids)
    with pytest.raises(DataError, match="X has 3 features, but FewShotClassifier is expecting 5"):
        classifier.predict(x[:, :3])
    with pytest.raises(DataError, match="got 'new' after 1"):
        classifier.partial_fit(x[:1], ["new"])


def test_what_the_learner_refuses_is_told_by_fit_and_changes_nothing():
    @dataclass(frozen=True)
    class Picky:
        def adapt(self, support):
            if support.y.shape[-1] > 9:
                raise EpisodeError("a picky learner takes 9 examples, got more; leave some out")
            return NearestMean().adapt(support)

    x, ids, query = blobs()
    classifier = FewShotClassifier(learner=Picky()).fit(x, ids)
    before = classifier.predict_proba(query)
    with pytest.raises(EpisodeError, match="9 examples"):
        classifier.partial_fit(x[:1], [5])
    np.testing.assert_array_equal(classifier.predict_proba(query), before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learner": "nearest-meen"}, "did you mean 'nearest-mean'"),
        ({"learner": NearestMean}, "must be a name, or an object with 'adapt'"),
        ({"learner": NearestMean(), "learner_options": {"metric": "cosine"}}, "belong to a name"),
        ({"learner": "nearest-mean", "learner_options": {"metrik": 1}}, "must be among 'metric'"),
        ({"backbone": "pixel"}, "did you mean 'pixels'"),
        ({"backbone": 3}, "must be a name, a module or a function"),
    ],
)
def test_wrong_parts_are_refused(options, message, no_shape_hook):
    x, ids, _ = blobs()
    with pytest.raises(FewShotError, match=message):
        FewShotClassifier(**options).fit(x, ids)
