"""``FewShotClassifier``: few labelled items of a user's own become a classifier."""

import warnings
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError as SklearnNotFittedError

from fewshot.claims import claims_of
from fewshot.datasets.formats.containers import listed
from fewshot.errors import DataError, FewShotError, NotFittedError, StatisticsError
from fewshot.estimator.described import describe
from fewshot.estimator.items import IMAGES, ROWS, TEXTS, kind_of, read
from fewshot.estimator.labels import checked_labels, require_one_kind, sorted_classes
from fewshot.estimator.model import Model
from fewshot.estimator.parts import (
    DEFAULTS,
    NONE,
    as_given,
    default_learner,
    make_backbone,
    make_learner,
    require_unchanged,
)
from fewshot.estimator.rows import Columns, read_rows
from fewshot.estimator.saving import load_model, save_model
from fewshot.evaluation.describe import assumptions
from fewshot.plumbing.device import device_named, placed
from fewshot.plumbing.number_checks import seed_number


class UnfittedError(NotFittedError, SklearnNotFittedError):  # type: ignore[misc]
    """The classifier was used before ``fit``; scikit-learn knows this as its own error too."""


class FewShotClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn classifier on images, texts or rows of features, from few examples of each class.

    Items are embedded once by a backbone that stays as it is; a learner adapts to their features. Labels are
    the user's own, of any kind. Images are paths, PIL images or arrays; texts are strings. They come in a list, an array, a column of a
    table, or anything that gives them one after the other; a single text, path or image is a list of one.

    Args:
        backbone: A name that `load_backbone` knows, a module, ``"none"`` for items as they are, or nothing:
            EfficientNet-Lite0 for images, all-MiniLM-L6-v2 for texts, none for rows.
        learner: A name that `load_learner` knows, or a learner; when left out logistic regression, or a mix of examples
            and descriptions where there are descriptions. A transductive one takes all items of a call to ``predict`` as
            the queries, and its answers depend on them.
        descriptions: A text that describes each class, by its label, or labels that describe themselves: classes with few
            examples or none. Rows without a backbone have vectors of their own length instead.
        prompts: Templates such as ``["a photo of a {}"]`` for these texts.
        backbone_options: Of a backbone given by name.
        learner_options: Of a learner given by name.
        calibrate: Whether probabilities are fitted to answers about left-out examples.
        reject_below: Probability of the best class below which ``predict`` answers ``reject_label``.
        reject_label: The answer in that case.
        seed: Of learners that draw random numbers.
        device: Where items are embedded and classified: ``"auto"`` for a card where there is one, or what `torch.device`
            takes; where the backbone is, when left out. The features of the examples stay on the CPU.

    Attributes:
        classes_: The labels, sorted.
        model_: The examples, the adapted learner, and its ``calibration``: the temperature by which scores are
            divided, and how many left-out examples were answered rightly.

    Example:
        >>> classifier = FewShotClassifier().fit([[0.0, 0.1], [0.2, 0.0], [3.0, 3.1], [3.2, 3.0]], ["a", "a", "b", "b"])
        >>> classifier.predict([[0.1, 0.1], [2.9, 3.0]]).tolist()
        ['a', 'b']
    """

    def __init__(
        self,
        backbone: Any = None,
        learner: Any = None,
        *,
        descriptions: Any = None,
        prompts: Any = None,
        backbone_options: Any = None,
        learner_options: Any = None,
        calibrate: Any = True,
        reject_below: Any = None,
        reject_label: Any = None,
        seed: Any = 0,
        device: Any = None,
    ) -> None:
        self.backbone, self.learner = backbone, learner
        self.backbone_options, self.learner_options = backbone_options, learner_options
        self.descriptions, self.prompts = descriptions, prompts
        self.calibrate, self.seed, self.device = calibrate, seed, device
        self.reject_below, self.reject_label = reject_below, reject_label

    def fit(self, X: Any = None, y: Any = None) -> "FewShotClassifier":
        """Embed the items, adapt the learner, calibrate; forgets what was learned before.

        Args:
            X: Items, all of one kind; none where descriptions stand for all examples.
            y: One label an item.

        Raises:
            DataError: If an item cannot be read, is empty or not finite, kinds are mixed, or labels do not fit.
            UnknownNameError: If nobody knows backbone or learner.
            FewShotError: If the learner refuses the examples, the seed is no whole number, or the device is not there.
        """
        return self._start(X, y, None)

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> "FewShotClassifier":
        """Add examples, of new classes too; nothing that was embedded is embedded again.

        Args:
            X: Items of the kind of the first call.
            y: One label an item.
            classes: All labels that will ever come, in the first call; without it any label may come.

        Raises:
            UnknownNameError: If classes were declared, and a label is not among them.
            DataError: As in `fit`, or if classes are declared in a later call.
        """
        if not self.__sklearn_is_fitted__():
            return self._start(X, y, classes)
        known = self.model_.declared
        if classes is not None and (known is None or set(sorted_classes(classes)) != set(known)):
            raise DataError(
                "classes must be declared in the first call of partial_fit, got others later; call fit anew"
            )
        require_unchanged(self.get_params(deep=False), self.model_.made)
        items, columns = self._items_and_columns(X)
        labels = checked_labels(y, len(items), type(self).__name__)
        return self._know(self.model_.extended(items, labels, columns))

    def predict(self, X: Any) -> np.ndarray:
        """The most likely label of each item; ``reject_label`` where its probability lies below ``reject_below``.

        Raises:
            UnfittedError: If there was no ``fit``.
            DataError: If an item cannot be read, or is of another kind than those of ``fit``.
            StatisticsError: If answers shall be rejected, and the learner has no probabilities.
            FewShotError: If ``reject_below`` is no probability.
        """
        scores = self._fitted().scores(self._items(X))
        labels: np.ndarray = self.classes_[self.model_.present[scores.argmax(1)]]
        self._require_settings()
        if self.reject_below is None:
            return labels
        if self.model_.calibration.temperature is None:
            raise StatisticsError(
                f"reject_below={self.reject_below} needs probabilities, got a learner whose scores only rank; leave it out, or "
                "fit with calibrate=True and two different examples of some class"
            )
        known = self.model_.probabilities(scores).max(1) >= self.reject_below
        answers = [label if sure else self.reject_label for label, sure in zip(labels.tolist(), known, strict=True)]
        return np.array(answers, None if isinstance(self.reject_label, type(labels.tolist()[0])) else object)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of items whose label `predict` gives; a rejected item counts as wrong unless its label is ``reject_label``.

        Raises:
            DataError: As in `fit`, or if labels are texts where those of ``fit`` are numbers.
            UnfittedError: If there was no ``fit``.
        """
        answers = self.predict(X).tolist()
        labels = checked_labels(y, len(answers), type(self).__name__)
        require_one_kind(self.classes_, labels)
        right = [answer == label for answer, label in zip(answers, labels.tolist(), strict=True)]
        return float(np.average(right, weights=sample_weight))

    def predict_proba(self, X: Any) -> Float[np.ndarray, "q n_classes"]:
        """Probability of each class, in the order of ``classes_``; of a class without example it is 0.

        Raises:
            UnfittedError: If there was no ``fit``.
            DataError: As in `predict`.
            StatisticsError: If scores of the learner only rank, and no example could be left out.
        """
        return self._fitted().probabilities(self.model_.scores(self._items(X)))

    def predict_set(self, X: Any, coverage: float = 0.9, calibration: Any = None) -> list[tuple[Any, ...]]:
        """The labels that cannot be ruled out for each item, as many as the coverage needs; sorted.

        The set of an item like those of ``fit`` holds its true label with about the probability ``coverage``.
        A large set, or an empty one, says "I don't know".

        Args:
            X: Items.
            coverage: Share of items whose set shall hold the true label.
            calibration: ``(X, y)``, labelled items that ``fit`` did not see, for the exact promise;
                without them the examples of ``fit`` are left out in turn.

        Raises:
            StatisticsError: If there are too few examples that differ, the coverage is no number between 0 and 1, or the
                learner is transductive.
            UnknownNameError: If a label of the calibration has no example.
            LeakageError: If an item of the calibration equals an example of ``fit``.
        """
        model, query = self._fitted(), self._items(X)
        if claims_of(model.learner).transductive:
            raise StatisticsError(
                "prediction sets need a learner that answers each item by itself, got a transductive one; take another"
            )
        if calibration is None:
            held = model.sets(query, coverage)
        else:
            known, labels = self._held_out(calibration)
            held = model.calibrated_sets(query, coverage, known, labels)
        names = self.classes_[model.present]
        return [tuple(names[row].tolist()) for row in held]

    def _held_out(self, calibration: Any) -> tuple[Any, np.ndarray]:
        """Items and labels of a calibration."""
        if not isinstance(calibration, (tuple, list)) or len(calibration) != 2:
            raise DataError(f"calibration must be a pair (X, y), got {type(calibration).__name__}; give labelled items")
        known = self._items(calibration[0])
        return known, checked_labels(calibration[1], len(known), type(self).__name__)

    def save(self, path: str | Path) -> Path:
        """Write the classifier as one safetensors file: features of the examples, all else in it as JSON.

        It holds what ``fit`` made: parameters that were set later, and that only ``fit`` reads, are not in it.

        Raises:
            UnfittedError: If there was no ``fit``.
            FewShotError: If backbone or learner were given as objects that no name makes.
        """
        answers = {"reject_below": self.reject_below, "reject_label": self.reject_label}
        return save_model(Path(path), self._fitted(), answers)

    @classmethod
    def load(cls, path: str | Path, device: Any = None) -> "FewShotClassifier":
        """A classifier from the file of `save`, ready to predict and to learn more.

        Args:
            path: The file.
            device: Where to embed and to classify, as the classifier takes it; the CPU when left out.

        Raises:
            MissingDataError: If there is no such file.
            DataError: If it is no whole file of `save`, or the backbone here has other weights.
        """
        model, parameters = load_model(Path(path), device_named("cpu" if device is None else device))
        return cls(**parameters, device=device)._know(model)

    def __sklearn_tags__(self) -> Any:
        """As for any classifier, and sparse rows are taken, too."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _start(self, X: Any, y: Any, classes: Any) -> "FewShotClassifier":
        self._require_settings()
        X = None if X is None else listed(X)
        alone = self.descriptions is not None and (
            X is None or (isinstance(X, list) and not X) or getattr(X, "shape", (1,))[:1] == (0,)
        )
        if X is None and not alone:
            raise DataError(f"{type(self).__name__} needs examples or descriptions, got neither; call fit(X, y)")
        kind = self._kind_asked() if alone else kind_of(X)
        named = DEFAULTS[kind] if self.backbone is None else self.backbone
        backbone, place = placed(make_backbone(named, self.backbone_options), self.device)
        described = describe(self.descriptions, kind, backbone, self.prompts)
        learner = make_learner(
            default_learner(described) if self.learner is None else self.learner, self.learner_options
        )
        learner, place = placed(learner, self.device if backbone is None else place)
        columns = None
        if described is not None and alone:
            items, labels = described.vectors[:0], described.labels[:0]
        else:
            items, columns = read_rows(self, X, backbone, True) if kind == ROWS else (read(X, kind, backbone), None)
            labels = checked_labels(y, len(items), type(self).__name__)
        declared = None if classes is None else sorted_classes(classes)
        for sentence in assumptions(learner):
            warnings.warn(sentence, UserWarning, stacklevel=3)
        made = as_given(self.get_params(deep=False))
        return self._know(
            Model(kind, backbone, learner, items, labels, declared, described, int(self.seed), bool(self.calibrate),
                  columns=columns, made=made, device=place)
        )  # fmt: skip

    def _require_settings(self) -> None:
        """Let settings pass that fit and predict can use.

        Raises:
            FewShotError: If ``seed`` is no whole number, or ``reject_below`` no probability.
        """
        seed_number(self.seed)
        if self.reject_below is None:
            return
        if (
            not isinstance(self.reject_below, Real)
            or isinstance(self.reject_below, bool)
            or not 0 <= float(self.reject_below) <= 1
        ):
            raise FewShotError(f"reject_below must be a probability in 0..1, got {self.reject_below!r}; 0.6 is 60 %")

    def _kind_asked(self) -> str:
        """The kind of items that a classifier without examples takes: rows without a backbone, else what the backbone reads."""
        if self.backbone == NONE:
            return ROWS
        return (
            IMAGES if hasattr(make_backbone(self.backbone or DEFAULTS[TEXTS], self.backbone_options), "text") else TEXTS
        )

    def _know(self, model: Model) -> "FewShotClassifier":
        """Take a model, with what scikit-learn knows of it; one that is wrong raises, and changes nothing."""
        self.model_ = model.ready()
        self.classes_ = model.classes
        for name in ("n_features_in_", "feature_names_in_"):
            self.__dict__.pop(name, None)
        if model.columns is not None:
            model.columns.put_on(self)
        return self

    def _items(self, X: Any) -> Any:
        """Items of the kind of ``fit``, embedded."""
        return self._items_and_columns(X)[0]

    def _items_and_columns(self, X: Any) -> tuple[Any, Columns | None]:
        model, X = self._fitted(), listed(X)
        model.require_same_weights()
        if model.kind != ROWS:
            return read(X, model.kind, model.backbone), None
        return read_rows(self, X, model.backbone, model.columns is None)

    def _fitted(self) -> Model:
        if not self.__sklearn_is_fitted__():
            raise UnfittedError(f"{type(self).__name__} must be fitted before it predicts, got no fit; call fit(X, y)")
        return self.model_

    def __sklearn_is_fitted__(self) -> bool:
        """Whether there was a ``fit``."""
        return hasattr(self, "model_")
