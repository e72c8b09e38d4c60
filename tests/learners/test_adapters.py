"""Learners from functions and scikit-learn estimators: columns, absent classes, seeds, refusals."""

import numpy as np
import pytest
import torch
from make import episode
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from torch.testing import assert_close

from fewshot.contract import SupportSet
from fewshot.errors import EpisodeError, FewShotError, ShapeError
from fewshot.functional import class_means, squared_distances
from fewshot.learners.adapters import from_function, from_sklearn
from fewshot.learners.metric.nearest_mean import NearestMean


def nearest(x, y, q):
    return -squared_distances(q, class_means(x, y, int(y.max()) + 1))


# Functions ------------------------------------------------------------------------------------------


def test_a_function_sees_one_episode_at_a_time():
    support, query, _ = episode((3, 1, 2), episodes=3)
    shapes = []

    def f(x, y, q):
        shapes.append((tuple(x.shape), tuple(y.shape), tuple(q.shape)))
        return nearest(x, y, q)

    scores = from_function(f).adapt(support)(query)
    assert shapes == [((6, 6), (6,), (5, 6))] * 3
    assert_close(scores, NearestMean().adapt(support)(query))
    assert_close(from_function(f).adapt(support[1])(query[1]), scores[1])


def test_claims_of_a_function_are_kept():
    plain = from_function(nearest)
    assert (plain.transductive, plain.scores) == (False, "rank")
    claimed = from_function(nearest, transductive=True, scores="log-probability")
    assert (claimed.transductive, claimed.scores) == (True, "log-probability")
    with pytest.raises(FewShotError, match="scores must be 'rank' or 'log-probability', got 'softmax'"):
        from_function(nearest, scores="softmax")


@pytest.mark.parametrize("wrong", [lambda s: s[:, :2], lambda s: s.T, lambda s: s[0], lambda s: s[None]])
def test_a_function_must_return_a_row_a_query_and_a_column_a_class(wrong):
    support, query, _ = episode((3, 1, 2))
    with pytest.raises(ShapeError, match=r"the function must return scores \(5, 3\), got"):
        from_function(lambda x, y, q: wrong(nearest(x, y, q))).adapt(support)(query)


def test_a_function_cannot_know_of_an_absent_class():
    support, _, _ = episode((3, 1))
    with pytest.raises(EpisodeError, match=r"none for classes \[2\]"):
        from_function(nearest).adapt(SupportSet(support.x, support.y, 3))


# scikit-learn: values -------------------------------------------------------------------------------


class Relabelled(GaussianNB):
    """An estimator that keeps its classes in falling order, with its columns."""

    def fit(self, x, y):
        super().fit(x, y)
        self.order_ = np.argsort(-self.classes_)
        self.classes_ = self.classes_[self.order_]
        return self

    def predict_log_proba(self, x):
        return super().predict_log_proba(x)[:, self.order_]


def test_columns_follow_classes_not_positions():
    support, query, _ = episode((3, 2, 4), spread=2.0)
    exact = from_sklearn(GaussianNB()).adapt(support)(query)
    assert_close(from_sklearn(Relabelled()).adapt(support)(query), exact)
    with pytest.raises(AssertionError):
        assert_close(exact.flip(-1), exact)


PROBABLE = [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression()), GaussianNB()]


@pytest.mark.parametrize("shots", [(3, 2), (3, 2, 4)])
@pytest.mark.parametrize("estimator", PROBABLE, ids=["logistic", "pipeline", "bayes"])
def test_log_probabilities_come_first(estimator, shots):
    support, query, _ = episode(shots, episodes=2, spread=2.0)
    scores = from_sklearn(estimator).adapt(support)(query)
    assert from_sklearn(estimator).scores == "log-probability"
    for k in range(2):
        exact = estimator.__class__(**estimator.get_params(deep=False))
        exact.fit(support.x[k].numpy(), support.y[k].numpy())
        floor = np.log(np.finfo(np.float32).tiny)
        assert_close(scores[k], torch.from_numpy(exact.predict_log_proba(query[k].numpy()).clip(min=floor)))


@pytest.mark.parametrize("shots", [(3, 2), (3, 2, 4)])
@pytest.mark.parametrize("estimator", [RidgeClassifier(), LinearSVC(random_state=0), SVC(kernel="linear")])
def test_decisions_come_second_also_for_two_classes(estimator, shots):
    support, query, _ = episode(shots, spread=2.0)
    learner = from_sklearn(estimator)
    scores = learner.adapt(support)(query)
    assert learner.scores == "rank"
    assert scores.shape == (5, len(shots))
    decisions = estimator.fit(support.x.numpy(), support.y.numpy()).decision_function(query.numpy())
    exact = np.stack([-decisions, decisions], 1) if len(shots) == 2 else decisions
    assert_close(scores, torch.from_numpy(exact))
    assert scores.argmax(-1).tolist() == estimator.predict(query.numpy()).tolist()


class OnlyPredicts(DummyClassifier):
    """Answers by the sign of the first coordinate; has neither decisions nor probabilities."""

    predict_proba = predict_log_proba = property(lambda self: self._no_such_thing)

    def predict(self, x):
        return np.where(x[:, 0] > 0, self.classes_[-1], self.classes_[0])


def test_predictions_come_last():
    support, query, _ = episode((2, 2, 2))
    learner = from_sklearn(OnlyPredicts())
    scores = learner.adapt(support)(query)
    assert learner.scores == "rank"
    assert scores.tolist() == [[0, 0, 1] if z > 0 else [1, 0, 0] for z in query[:, 0].tolist()]


@pytest.mark.parametrize(
    "estimator", [KNeighborsClassifier(1), NearestCentroid(), DecisionTreeClassifier(), GaussianNB()]
)
def test_answers_are_the_estimators_and_scores_finite(estimator):
    support, query, _ = episode((4, 2, 3), episodes=2)
    scores = from_sklearn(estimator).adapt(support)(query)
    assert scores.isfinite().all()
    for k in range(2):
        fitted = estimator.set_params(
            **{name: int(support.seed[k]) for name in estimator.get_params() if name == "random_state"}
        ).fit(support.x[k].numpy(), support.y[k].numpy())
        assert scores[k].argmax(-1).tolist() == fitted.predict(query[k].numpy()).tolist()
        estimator.set_params(**{name: None for name in estimator.get_params() if name == "random_state"})


def test_a_probability_of_zero_counts_as_the_smallest_positive_number():
    support, query, _ = episode((4, 2, 3))
    scores = from_sklearn(DecisionTreeClassifier()).adapt(support)(query)
    assert_close(scores.amin(), torch.tensor(np.finfo(np.float32).tiny).double().log(), rtol=1e-6, atol=0)
    assert scores.amax() == 0


# scikit-learn: items, types, clones, seeds ---------------------------------------------------------------


def test_images_are_flattened_and_types_kept():
    support, query, _ = episode((3, 2), dim=12, dtype=torch.float32)
    flat = from_sklearn(LogisticRegression()).adapt(support)(query)
    images = SupportSet(support.x.reshape(5, 3, 2, 2), support.y, 2)
    scores = from_sklearn(LogisticRegression()).adapt(images)(query.reshape(5, 3, 2, 2))
    assert torch.equal(scores, flat)
    assert scores.dtype == torch.float32
    pixels = (query.abs() * 30).clamp(0, 255).to(torch.uint8)
    assert from_sklearn(LogisticRegression()).adapt(support)(pixels).dtype == torch.float32


def test_texts_come_as_strings():
    words = np.array(["good film", "bad film", "bad play"], np.dtypes.StringDType())
    learner = from_sklearn(make_pipeline(CountVectorizer(), MultinomialNB()))
    scores = learner.adapt(SupportSet(words, torch.tensor([1, 0, 0]), 2))(words[[2, 0]])
    assert scores.argmax(-1).tolist() == [0, 1]
    assert scores.dtype == torch.float32


def test_the_estimator_itself_is_never_fitted():
    estimator = LogisticRegression(C=3.0)
    support, query, _ = episode((3, 2))
    from_sklearn(estimator).adapt(support)(query)
    assert not hasattr(estimator, "coef_")
    assert estimator.get_params() == LogisticRegression(C=3.0).get_params()


def forest(state=None):
    return make_pipeline(StandardScaler(), RandomForestClassifier(5, random_state=state))


def test_randomness_comes_from_the_seed_of_the_episode():
    support, query, _ = episode((4, 3, 4), episodes=2, spread=4.0, queries=40)
    scores = from_sklearn(forest()).adapt(support)(query)
    for k in range(2):
        fitted = forest(int(support.seed[k])).fit(support.x[k].numpy(), support.y[k].numpy())
        theirs = fitted.predict_proba(query[k].numpy())
        assert_close(scores[k].exp(), torch.from_numpy(theirs), rtol=1e-6, atol=1e-30)
    unlike = SupportSet(support.x, support.y, 3, seed=support.seed + 1)
    assert not torch.equal(from_sklearn(forest()).adapt(unlike)(query), scores)


def test_a_random_state_that_is_set_is_kept_and_without_a_seed_it_is_zero():
    support, query, _ = episode((4, 3, 4), spread=4.0, queries=40)
    other = SupportSet(support.x, support.y, 3, seed=support.seed + 1)
    kept = [from_sklearn(forest(7)).adapt(s)(query) for s in (support, other)]
    assert torch.equal(*kept)
    seedless = SupportSet(support.x, support.y, 3)
    zero = [from_sklearn(forest(state)).adapt(seedless)(query) for state in (None, 0)]
    assert torch.equal(*zero)


# scikit-learn: refusals -----------------------------------------------------------------------------------


def test_refusals_say_what_must_hold():
    support, _, _ = episode((3, 2))
    with pytest.raises(EpisodeError, match=r"every class needs a support example, got none for classes \[2\]"):
        from_sklearn(GaussianNB()).adapt(SupportSet(support.x, support.y, 3))
    with pytest.raises(EpisodeError, match="a scikit-learn estimator needs at least two classes, got 1"):
        from_sklearn(LogisticRegression()).adapt(SupportSet(support.x, torch.zeros(5, dtype=torch.long), 1))
    for wrong in (Ridge(), KMeans()):
        with pytest.raises(FewShotError, match=f"from_sklearn needs a classifier, got {type(wrong).__name__}"):
            from_sklearn(wrong)
    with pytest.raises(FewShotError, match="must be 'ovr', one column a class, got 'ovo'"):
        from_sklearn(make_pipeline(StandardScaler(), SVC(decision_function_shape="ovo")))
