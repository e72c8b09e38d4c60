"""``FewShotClassifier`` is an estimator of scikit-learn: its own checks, pipelines, cross-validation, search."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError as SklearnNotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fewshot.errors import FewShotError, NotFittedError
from fewshot.estimator.classifier import FewShotClassifier


@parametrize_with_checks([FewShotClassifier(learner="nearest-mean"), FewShotClassifier(learner="logistic-regression")])
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))[:200]
    return data.data[rows] / 16, data.target[rows]


def test_pipeline_and_cross_validation(digits):
    pipeline = make_pipeline(StandardScaler(), FewShotClassifier(learner="nearest-mean"))
    scores = cross_val_score(pipeline, *digits, cv=4)
    assert scores.shape == (4,) and scores.mean() > 0.8


def test_search_over_options(digits):
    options = [{}, {"metric": "cosine"}]
    search = GridSearchCV(FewShotClassifier(learner="nearest-mean"), {"learner_options": options}, cv=3)
    assert search.fit(*digits).best_params_["learner_options"] in options


def test_texts_go_through_cross_validation():
    texts = ["my card is lost", "someone stole my card", "my card was taken", "what is my balance"]
    texts += ["how much money do I have", "show my balance"]
    scores = cross_val_score(FewShotClassifier(), texts, ["lost"] * 3 + ["balance"] * 3, cv=3)
    assert scores.mean() == 1


def test_clone_and_parameters():
    made = FewShotClassifier("pixels", "nearest-mean", learner_options={"metric": "cosine"}, reject_below=0.5)
    copy = clone(made)
    assert copy.get_params() == made.get_params() and not hasattr(copy, "model_")
    assert copy.set_params(seed=3).seed == 3 and repr(copy).startswith("FewShotClassifier(backbone='pixels'")


def test_pickled_for_other_processes_it_predicts_the_same(digits):
    fitted = FewShotClassifier().fit(*digits)
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(fitted)).predict_proba(digits[0]), fitted.predict_proba(digits[0])
    )


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "predict_set", "save"])
def test_before_fit(ask):
    with pytest.raises(SklearnNotFittedError, match=r"FewShotClassifier must be fitted .* call fit\(X, y\)") as caught:
        getattr(FewShotClassifier(), ask)("x")
    assert isinstance(caught.value, (NotFittedError, FewShotError))
