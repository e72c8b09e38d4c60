"""``FewShotClassifier`` with names or descriptions of classes: no examples, some, or a mix of both."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from fewshot.errors import DataError, UnknownNameError
from fewshot.estimator.classifier import FewShotClassifier

DESCRIBED = {"card": "a lost or stolen bank card", "money": "the balance of an account", "bug": "a crash of the app"}
ASKED = ["somebody took my card", "how much do I have", "it shows an error and closes"]
TEXTS, LABELS = ["I lost my card", "show my balance", "my card was stolen"], ["card", "money", "card"]


def test_descriptions_alone_answer():
    classifier = FewShotClassifier(descriptions=DESCRIBED).fit()
    assert classifier.predict(ASKED).tolist() == ["card", "money", "bug"]
    assert classifier.classes_.tolist() == ["bug", "card", "money"]
    assert_allclose(classifier.predict_proba(ASKED).sum(1), 1)
    assert_array_equal(clone(classifier).fit([], []).predict(ASKED), classifier.predict(ASKED))


def test_names_describe_themselves():
    classifier = FewShotClassifier(descriptions=["card", "money"], prompts=["a question about {}", "{}"]).fit()
    assert classifier.predict(ASKED[:2]).tolist() == ["card", "money"]


def test_examples_of_some_classes_and_descriptions_of_all():
    classifier = FewShotClassifier(descriptions=DESCRIBED).fit(TEXTS, LABELS)
    assert classifier.predict(ASKED).tolist() == ["card", "money", "bug"]  # of "bug" there is no example
    alone = FewShotClassifier(descriptions=DESCRIBED).fit()
    assert np.abs(classifier.predict_proba(ASKED) - alone.predict_proba(ASKED)).max() > 1e-3
    more = alone.partial_fit(TEXTS[:1], LABELS[:1]).partial_fit(TEXTS[1:], LABELS[1:])
    assert_allclose(more.predict_proba(ASKED), classifier.predict_proba(ASKED), atol=1e-6)


def test_vectors_describe_rows():
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 6))
    classifier = FewShotClassifier("none", descriptions=dict(zip([7, 1, 3], centres, strict=True))).fit()
    query = centres + 0.05 * rng.normal(size=(3, 6))
    assert classifier.predict(query).tolist() == [7, 1, 3]
    some = clone(classifier).fit(query[:1], [7])
    assert some.predict(query).tolist() == [7, 1, 3]


def test_every_description_is_kept_in_the_file(tmp_path):
    for fit in ((), (TEXTS, LABELS)):
        classifier = FewShotClassifier(descriptions=DESCRIBED).fit(*fit)
        loaded = FewShotClassifier.load(classifier.save(tmp_path / "questions.safetensors"))
        assert loaded.descriptions == DESCRIBED
        assert_array_equal(loaded.predict_proba(ASKED), classifier.predict_proba(ASKED))


@pytest.mark.parametrize(
    ("descriptions", "fit", "message"),
    [
        ({"card": "a card"}, (TEXTS, LABELS), "every class needs a description where one has it, got none for 'money'"),
        ({"card": "a card", "money": " "}, (), "every text needs a word, got ' ' in row 1"),
        ([], (), "descriptions must name each class once, got 0 of 0 classes"),
        (["card", "card"], (), "descriptions must name each class once, got 2 of 1 classes"),
        ({"card": 3, "money": "cash"}, (), "every text must be a string, got 3 in row 0"),
    ],
)
def test_bad_descriptions_are_named(descriptions, fit, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier(descriptions=descriptions).fit(*fit)


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ({"a": "a text"}, "without a backbone classes are described by vectors, got 'a text'"),
        ({"a": [1.0, 2.0], "b": [1.0]}, "descriptions must have one length, got vectors of 1 and 2 numbers"),
        ({"a": [1.0, np.nan], "b": [1.0, 0.0]}, "descriptions must be finite, got nan or infinity"),
    ],
)
def test_bad_vectors_are_named(descriptions, message):
    with pytest.raises(DataError, match=message):
        FewShotClassifier("none", descriptions=descriptions).fit()


def test_a_backbone_of_images_alone_cannot_read_descriptions():
    images = np.zeros((2, 3, 8, 8), np.uint8)
    with pytest.raises(DataError, match="descriptions of images need a backbone with a side for texts, got"):
        FewShotClassifier("pixels", descriptions=["cat", "dog"]).fit(images, ["cat", "dog"])


def test_examples_or_descriptions_are_needed():
    with pytest.raises(DataError, match="needs examples or descriptions"):
        FewShotClassifier().fit()
    with pytest.raises(UnknownNameError, match="'bug'"):
        FewShotClassifier().partial_fit(TEXTS, LABELS, classes=["card", "money"]).partial_fit(["x"], ["bug"])
