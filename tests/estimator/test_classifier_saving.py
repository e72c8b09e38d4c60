"""A saved classifier is the same in another process, holds no pickle, and is refused where it cannot be that."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fewshot import NearestMean, from_function, load_backbone
from fewshot.backbones.weights import save_weights
from fewshot.errors import DataError, FewShotError, MissingDataError, UnknownNameError
from fewshot.estimator.classifier import FewShotClassifier
from fewshot.estimator.saving import KEY
from fewshot.plumbing.sealed import write_tensors

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
    with pytest.raises(DataError, match="X has 2 features, but FewShotClassifier is expecting 4"):
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
    """A whole file with its right hash, and other content."""
    with safe_open(path, "pt") as file:
        content = json.loads(file.metadata()[KEY])
    return write_tensors(path, load_file(path), {KEY: json.dumps(content | change)})


def test_other_weights_and_a_later_schema_are_refused(tmp_path):
    path = FewShotClassifier("pixels").fit(X, Y).save(tmp_path / "a.safetensors")
    with pytest.raises(DataError, match="weights that it was made with, got others for the backbone 'pixels'"):
        FewShotClassifier.load(forged(path, fingerprint="other"))
    with pytest.raises(DataError, match="must have schema 3 or older, got 4; update fewshot"):
        FewShotClassifier.load(forged(path, schema=4))


def as_of_version_010(path, tmp_path):
    """The file as version 0.1.0 wrote it: schema 2, no columns, no hash."""
    with safe_open(path, "pt") as file:
        content = json.loads(file.metadata()[KEY])
    del content["columns"]
    save_file(load_file(path), tmp_path / "old.safetensors", {KEY: json.dumps(content | {"schema": 2})})
    return tmp_path / "old.safetensors"


def test_a_file_of_version_010_answers_as_before(tmp_path):
    classifier = FewShotClassifier().fit(X, Y)
    old = as_of_version_010(classifier.save(tmp_path / "a.safetensors"), tmp_path)
    loaded = FewShotClassifier.load(old)
    np.testing.assert_array_equal(loaded.predict_proba(X), classifier.predict_proba(X))
    assert loaded.n_features_in_ == 4
    save_file(load_file(old), old, {KEY: forged_text(old, schema=3)})
    with pytest.raises(
        DataError, match="must be a whole saved classifier, got no SHA-256 of its content; save it again"
    ):
        FewShotClassifier.load(old)


def forged_text(path, **change):
    with safe_open(path, "pt") as file:
        return json.dumps(json.loads(file.metadata()[KEY]) | change)


def test_every_damaged_byte_is_seen(tmp_path):
    content = FewShotClassifier(learner="nearest-mean").fit(X, Y).save(tmp_path / "a.safetensors").read_bytes()
    rng = np.random.default_rng(0)
    for place in [*rng.integers(len(content), size=150), *range(8), 9, len(content) - 1]:
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        (tmp_path / "b.safetensors").write_bytes(damaged)
        with pytest.raises(
            DataError, match=r"b.safetensors' must be a whole saved classifier, got .*; save it again"
        ) as told:
            FewShotClassifier.load(tmp_path / "b.safetensors")
        assert "\n" not in str(told.value)
    for end in rng.integers(len(content), size=20):
        (tmp_path / "b.safetensors").write_bytes(content[:end])
        with pytest.raises(DataError, match="must be a whole saved classifier"):
            FewShotClassifier.load(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": None}, "got Input should be an object at 'labels'"),
        ({"labels": {"dtype": "<U3", "values": ["ant"]}}, "got 9 examples and 1 labels"),
        ({"labels": {"dtype": "<U1", "values": Y.tolist()}}, "got labels must be of the type <U1, got others"),
        ({"labels": {"dtype": "int64", "values": Y.tolist()}}, "got labels must be of the type int64, got others"),
        ({"labels": {"dtype": "<U3", "values": [*Y.tolist()[:8], 3]}}, "got labels must be all texts or all numbers"),
        ({"kind": "sounds"}, "got Input should be 'images', 'texts' or 'rows' at 'kind'"),
        ({"calibration": {"temperature": "1"}}, "got Input should be a valid number at 'calibration.temperature'"),
        (
            {"described": {"labels": {"dtype": "<U1", "values": ["a"]}, "texts": None}},
            "got no finite rows called 'described'",
        ),
        ({"parameters": {}}, "got Field required at 'parameters.backbone'"),
        ({"more": 1}, "got Extra inputs are not permitted at 'more'"),
    ],
)
def test_content_of_another_form_is_named(tmp_path, change, message):
    path = FewShotClassifier().fit(X, Y).save(tmp_path / "a.safetensors")
    with pytest.raises(DataError, match=rf"must be a whole saved classifier, {message}"):
        FewShotClassifier.load(forged(path, **change))


# What changes between fit and save ----------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"learner": "nearest-mean"},
        {"learner_options": {"C": 100.0}},
        {"backbone": "pixels"},
        {"calibrate": False},
        {"seed": 7},
        {"prompts": ["{}!"]},
    ],
)
def test_the_file_is_what_fit_made(tmp_path, change):
    classifier = FewShotClassifier(learner_options={"C": 1.0}).fit(X, Y)
    asked = classifier.predict_proba(X)
    classifier.set_params(**change)
    np.testing.assert_array_equal(classifier.predict_proba(X), asked)
    loaded = FewShotClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    np.testing.assert_array_equal(loaded.predict_proba(X), asked)
    assert loaded.learner == "logistic-regression" and loaded.learner_options == {"C": 1.0}
    with pytest.raises(
        FewShotError, match=f"{next(iter(change))} must be as in fit for more examples, got .*; call fit anew"
    ):
        classifier.partial_fit(X[:1], Y[:1])
    np.testing.assert_array_equal(classifier.predict_proba(X), asked)


def test_options_changed_in_place_are_those_of_fit(tmp_path):
    options = {"k": 1}
    classifier = FewShotClassifier(learner="k-nearest-neighbours", learner_options=options).fit(X, Y)
    asked = classifier.predict_proba(X + 0.5)
    options["k"] = 3
    loaded = FewShotClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    assert loaded.learner_options == {"k": 1}
    np.testing.assert_array_equal(loaded.predict_proba(X + 0.5), asked)


def test_how_it_answers_may_change_after_fit(tmp_path):
    classifier = FewShotClassifier().fit(X, Y)
    classifier.set_params(reject_below=0.9, reject_label="none of them")
    loaded = FewShotClassifier.load(classifier.save(tmp_path / "a.safetensors"))
    assert loaded.reject_below == 0.9 and loaded.predict(X).tolist() == classifier.predict(X).tolist()


def test_columns_are_kept(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    loaded = FewShotClassifier.load(FewShotClassifier().fit(frame, Y).save(tmp_path / "a.safetensors"))
    assert loaded.predict(frame).tolist() == Y.tolist()
    assert (loaded.n_features_in_, loaded.feature_names_in_.tolist()) == (4, list("abcd"))
    for ask in (loaded.predict, lambda x: loaded.partial_fit(x, Y)):
        with pytest.raises(DataError, match="feature names should match those that were passed during fit"):
            ask(frame[list("bacd")])


def test_a_refused_fit_changes_nothing():
    pandas = pytest.importorskip("pandas")
    classifier = FewShotClassifier().fit(pandas.DataFrame(X, columns=list("abcd")), Y)
    asked = classifier.predict_proba(pandas.DataFrame(X, columns=list("abcd")))
    for x, y in ((X[:, :3], [None] * 9), (X[:, :3], Y[:8]), (["a text"] * 9, [1.5] * 9)):
        with pytest.raises(FewShotError):
            classifier.fit(x, y)
    np.testing.assert_array_equal(classifier.predict_proba(pandas.DataFrame(X, columns=list("abcd"))), asked)
    classifier.set_params(backbone="pixels").fit(np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2), list("abc"))
    assert not hasattr(classifier, "n_features_in_") and not hasattr(classifier, "feature_names_in_")


@pytest.mark.parametrize("how", ["replaced", "in place"])
def test_weights_rewritten_under_the_same_name_are_read_again(tmp_path, how):
    path = tmp_path / "weights.safetensors"
    options = {"weights": path, "width": 4, "in_channels": 3, "size": 16}
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16)).astype(np.uint8)
    features = []
    for seed in (0, 1):
        made = load_backbone("conv4", width=4, in_channels=3, size=16, seed=seed)
        save_weights(tmp_path / "new", made, {})
        path.write_bytes((tmp_path / "new").read_bytes()) if how == "in place" else (tmp_path / "new").replace(path)
        features.append(FewShotClassifier("conv4", backbone_options=options).fit(pixels, [0, 1, 0, 1]).model_.items)
        with torch.no_grad():
            torch.testing.assert_close(features[-1], made(torch.from_numpy(pixels) / 255))
    assert not torch.equal(*features)
