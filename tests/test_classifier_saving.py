"""A saved classifier is the same in another process, holds no pickle, and is refused where it cannot be that."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fewshot import NearestMean, from_function
from fewshot.errors import DataError, FewShotError, MissingDataError, UnknownNameError
from fewshot.estimator.classifier import FewShotClassifier
from fewshot.estimator.saving import KEY

X = np.random.default_rng(0).normal(size=(9, 4)) + 2 * np.eye(4)[np.repeat([0, 1, 2], 3)]
Y = np.repeat(["ant", "bee", "cat"], 3)

SECOND = """
import json, sys
import numpy as np
from fewshot.estimator.classifier import FewShotClassifier
classifier = FewShotClassifier.load(sys.argv[1])
query = json.loads(sys.argv[2])
print(json.dumps([classifier.predict(query).tolist(), classifier.predict_proba(query).tolist()]))
"""


def second_process(path, query):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SECOND, str(path), json.dumps(query)],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "labels", [Y, np.repeat([7, 3, 5], 3), np.repeat([True, False, True], 3)], ids=["text", "int", "bool"]
)
def test_a_second_process_answers_the_same(tmp_path, labels):
    classifier = FewShotClassifier(learner_options={"C": 3.0}, reject_below=0.4, reject_label=labels[0].item()).fit(
        X, labels
    )
    path = classifier.save(tmp_path / "mine.safetensors")
    answers, probabilities = second_process(path, X.tolist())
    assert answers == classifier.predict(X).tolist()
    np.testing.assert_allclose(probabilities, classifier.predict_proba(X), rtol=1e-12)


def test_texts_in_a_second_process(tmp_path):
    texts = ["lost my card", "card stolen", "show balance", "how much money"]
    classifier = FewShotClassifier().fit(texts, ["card", "card", "balance", "balance"])
    answers, probabilities = second_process(classifier.save(tmp_path / "texts.safetensors"), ["no card", "money left"])
    assert answers == ["card", "balance"]
    np.testing.assert_allclose(probabilities, classifier.predict_proba(["no card", "money left"]), atol=1e-5)


def test_a_loaded_classifier_learns_on(tmp_path):
    classifier = FewShotClassifier(learner="nearest-mean").fit(X[:6], Y[:6])
    loaded = FewShotClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    assert loaded.get_params() == classifier.get_params() | {"backbone": "none"}
    loaded.partial_fit(X[6:], Y[6:])
    np.testing.assert_array_equal(
        loaded.predict_proba(X), FewShotClassifier(learner="nearest-mean").fit(X, Y).predict_proba(X)
    )
    with pytest.raises(FewShotError, match="must have the shape"):
        loaded.predict(X[:, :2])


def test_declared_classes_calibration_and_versions_are_kept(tmp_path):
    classifier = FewShotClassifier().partial_fit(X, Y, classes=["ant", "bee", "cat", "dog"])
    path = classifier.save(tmp_path / "a.safetensors")
    loaded = FewShotClassifier.load(path)
    assert loaded.classes_.tolist() == ["ant", "bee", "cat", "dog"]
    assert loaded.model_.calibration == classifier.model_.calibration
    with pytest.raises(UnknownNameError):
        loaded.partial_fit(X[:1], ["elk"])
    with safe_open(path, "pt") as file:
        content = json.loads(file.metadata()[KEY])
    assert content["versions"]["fewshot"] and content["labels"]["values"] == Y.tolist()
    assert content["parameters"]["learner"] == "logistic-regression" and content["kind"] == "rows"


def test_a_registered_learner_object_is_saved_by_name(tmp_path):
    classifier = FewShotClassifier(learner=NearestMean("cosine", 0.5)).fit(X, Y)
    loaded = FewShotClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    assert loaded.learner == "nearest-mean" and loaded.learner_options == {"metric": "cosine", "temperature": 0.5}
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))


def test_items_without_a_backbone_are_saved_as_they_are(tmp_path):
    drawings = (np.random.default_rng(0).random((6, 1, 6, 6)) > 0.5).astype(np.float32)
    classifier = FewShotClassifier("none", "modified-hausdorff").fit(drawings, list("abcabc"))
    path = classifier.save(tmp_path / "a.safetensors")
    assert load_file(path)["items"].shape == (6, 1, 6, 6)
    assert FewShotClassifier.load(path).predict(drawings).tolist() == list("abcabc")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"learner": from_function(lambda x, y, q: q[:, :3])},
            r"a learner must have a name to be saved, got a FromFunction",
        ),
        ({"backbone": torch.nn.Linear(4, 2)}, "a backbone must have a name to be saved, got a Linear; give it by name"),
        ({"reject_label": object()}, "parameters must be plain values to be saved, got reject_label=object"),
    ],
)
def test_what_has_no_name_is_refused_with_a_remedy(tmp_path, options, message):
    classifier = FewShotClassifier(**options).fit(X, Y)
    with pytest.raises(FewShotError, match=message):
        classifier.save(tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_is_no_saved_classifier_is_refused(tmp_path):
    with pytest.raises(MissingDataError, match="must be a saved classifier, got no file"):
        FewShotClassifier.load(tmp_path / "none")
    path = FewShotClassifier().fit(X, Y).save(tmp_path / "a.safetensors")
    (tmp_path / "torn").write_bytes(path.read_bytes()[:-40])
    save_file({"x": torch.zeros(2)}, tmp_path / "other")
    for name in ("torn", "other"):
        with pytest.raises(DataError, match=f"{name}' must be a whole saved classifier"):
            FewShotClassifier.load(tmp_path / name)


def forged(path, **change):
    with safe_open(path, "pt") as file:
        content = json.loads(file.metadata()[KEY])
    save_file(load_file(path), path, {KEY: json.dumps(content | change)})
    return path


def test_other_weights_and_a_later_schema_are_refused(tmp_path):
    path = FewShotClassifier("pixels").fit(X, Y).save(tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="weights that it was made with, got others for the backbone 'pixels'"):
        FewShotClassifier.load(forged(path, fingerprint="other"))
    with pytest.raises(DataError, match="must have schema 2, got 3; update fewshot"):
        FewShotClassifier.load(forged(path, schema=3))
