"""The answer to every query of an evaluation, from which all else is computed."""

import io
from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True, eq=False)
class Answers:
    """Class ids and predictions of all queries, one after another; episodes may differ in size.

    Attributes:
        starts: Where each episode's queries begin, and the end: ``(episodes + 1,)``.
        true: Class id of each query; −1 for an open class.
        predicted: Class id that was answered.
        class_starts: Where each episode's classes begin, and the end.
        classes: Class ids of the episodes.
        rows: Row number of each query in its collection.
        confidence: Softmax probability of the answer, where scores are log-probabilities.
        scores: Scores of each query, flat in the order of the episode's classes, if asked for.
        known: How known each query is, ``(queries, measures)``, higher is more known; where open classes are asked.
        known_by: Names of these measures.
    """

    starts: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    class_starts: np.ndarray
    classes: np.ndarray
    rows: np.ndarray
    confidence: np.ndarray | None = None
    scores: np.ndarray | None = None
    known: np.ndarray | None = None
    known_by: np.ndarray | None = None

    @property
    def is_known(self) -> np.ndarray:
        """Which queries are of a class of their episode, and not of an open one."""
        return np.asarray(self.true >= 0)

    @property
    def correct(self) -> np.ndarray:
        """Number of correct answers of each episode."""
        return np.add.reduceat(self.true == self.predicted, self.starts[:-1], dtype=np.int64)

    @property
    def queries(self) -> np.ndarray:
        """Number of queries of each episode that have a right answer: those of open classes have none."""
        return np.add.reduceat(self.is_known, self.starts[:-1], dtype=np.int64)

    def asks_the_same(self) -> bool:
        """Whether every episode asks the same items, so that only the examples differ."""
        parts = (self.rows[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True))
        first = np.sort(next(parts))
        return all(len(part) == len(first) and bool((np.sort(part) == first).all()) for part in parts)

    def episode_classes(self) -> np.ndarray | None:
        """Class ids ``(episodes, way)``, or nothing where episodes differ in way."""
        ways = np.diff(self.class_starts)
        return self.classes.reshape(len(ways), -1) if len(set(ways.tolist())) == 1 else None

    def to_bytes(self) -> bytes:
        """The content of an ``.npz`` file, the same bytes for the same answers."""
        buffer = io.BytesIO()
        arrays = {f.name: getattr(self, f.name) for f in fields(self)}
        np.savez_compressed(buffer, **{name: value for name, value in arrays.items() if value is not None})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "Answers":
        """Read what `to_bytes` made."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return cls(**{name: arrays[name] for name in arrays.files})
