"""A record of episodes: all that made a result, in one JSON file; the answers of every query lie beside it."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, TypeAdapter, model_validator
from typing_extensions import TypedDict

from fewshot.errors import RecordError
from fewshot.plumbing.files import content_hash, one_at_a_time, write_bytes, write_json
from fewshot.plumbing.reading import in_one_sentence, of_form
from fewshot.records.answers import Answers

SCHEMA, NEWEST = 1, 2
"""Of a record of one collection, and of one that names several: version 0.1.0 refuses that in a sentence."""
DATA, SUPPORT, QUERIES = "data", "support", "queries"
"""What a record names collections for: all items of an episode, or some of them; ``data/NAME`` is a part of a join."""
MARKS = ("schema", "learner", "data", "episodes", "correct")
"""Keys that every record of episodes has, of any schema; other JSON with a schema lacks some of them."""
LAST_WEIGHTS = "last weights"
"""The selection of a training run whose weights nothing chose."""
NAMED = 16
"""Digits of their hash in the name of the answers' file."""
ANYTHING = "anything"
"""What `Record.save` may replace when nothing else is said."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Whole = Annotated[int, Field(ge=0, lt=2**53)]
Counts = Whole | Annotated[list[Whole], Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[float, Field(gt=0, lt=1)]


class _Spec(TypedDict, total=False):
    __pydantic_config__ = ConfigDict(extra="allow", strict=True)  # type: ignore[misc]  # pydantic's way
    way: Counts
    shot: Counts
    shots: Annotated[list[Whole], Field(min_length=1)]
    query: Counts
    dirichlet: float | None
    unlabelled: Whole
    distractors: Whole
    open_way: Whole
    open_query: Whole | None


SPEC: TypeAdapter = TypeAdapter(_Spec)


def _is_spec(spec: dict[str, Any]) -> dict[str, Any]:
    SPEC.validate_python(spec)
    return spec  # itself, for its keys keep their order


def _is_file_name(name: str) -> str:
    if name in ("", "..") or name != Path(name).name or not name.isprintable() or len(name.encode()) > 250:
        raise ValueError(f"answers lie beside their record, got the place {name!r}")
    return name


class LearnerInfo(_Part):
    """What was judged: name, options, and what it claims of itself."""

    name: str
    options: dict[str, Any] = {}
    transductive: bool = False
    batch_norm: str = "running"


class BackboneInfo(_Part):
    """What made the features: name, the fingerprint of weights and preprocessing, and what the weights were trained on."""

    name: str
    fingerprint: str | None = None
    pretraining: str | None = None


class DataInfo(_Part):
    """Which data: a name that can be loaded, options, split, sizes and the hash of items and labels."""

    name: str
    options: dict[str, Any] = {}
    hash: str
    split: str | None = None
    classes: Whole
    items: Whole


class SourceInfo(DataInfo):
    """One of several collections: what it gives to episodes, and what its class names belong to."""

    part: str
    origin: str


class EpisodesInfo(_Part):
    """Which episodes; two records can be compared only where their manifests are equal."""

    way: Counts
    shot: Counts
    query: Counts
    query_distribution: str
    count: Whole
    seed: int
    manifest: str
    spec: Annotated[dict[str, Any], AfterValidator(_is_spec)] = {}
    rejected_draws: Whole = 0


class IntervalInfo(_Part):
    """An interval for the mean accuracy; it says what it speaks of. Accuracies are fractions."""

    low: float
    high: float
    level: Level
    interval: str
    estimand: str
    count: Whole


class Summary(IntervalInfo):
    """Mean accuracy over the episodes with its interval; higher is better.

    ``fifth_percentile`` is the accuracy that 95 % of the episodes exceed;
    ``calibration_error`` (lower is better) is there for scores that are log-probabilities.
    """

    accuracy: float
    fifth_percentile: float
    calibration_error: float | None = None


class Figure(IntervalInfo):
    """A mean with one of its intervals. Accuracies are fractions; higher is better."""

    name: Literal["accuracy", "zero-shot", "unseen", "seen", "harmonic"]
    value: float


class MeanInfo(IntervalInfo):
    """A mean over episodes of a fraction, with its interval."""

    mean: float


class OpenSetInfo(_Part):
    """How well queries of known classes are told from those of open ones, by one measure of how known a query is.

    Each figure is computed in every episode by itself, and the mean is over episodes.
    ``auroc``: area under the ROC curve, higher is better. ``fpr95``: share of open queries
    that pass where 95 % of the known ones do, lower is better.
    """

    known_by: str
    auroc: MeanInfo
    fpr95: MeanInfo


class TrainingInfo(_Part):
    """How the learner was trained: classes, budget, seed."""

    split: str
    budget: dict[str, Any]
    seed: int
    classes_hash: str


class SeenClasses(_Part):
    """Classes that the learner saw in training, and how many of them are queried here."""

    count: int
    hash: str
    overlap: int = 0


class Exposure(_Part):
    """How many of the classes queried here are in the data of the backbone's weights, by a reviewed list.

    ``same``: there too; ``akin``: not there, but one that looks much alike.
    """

    data: str
    same: int
    akin: int


class AnswersInfo(_Part):
    """The file with the answer to every query, which lies beside the record, and its SHA-256."""

    file: Annotated[str, AfterValidator(_is_file_name)]
    hash: str

    @classmethod
    def of(cls, path: Path, content: bytes) -> "AnswersInfo":
        """Of the answers to a record: the name holds their hash, so that a record never meets those of another run."""
        found = hashlib.sha256(content).hexdigest()
        return cls(file=f"{path.stem}.{found[:NAMED]}.npz", hash=found)


class Record(_Part):
    """One result, complete; a JSON file on disk.

    Attributes:
        settings: The recipe with all its settings resolved, where a recipe made the record.
        data: What support items come from, and queries too unless ``sources`` say more.
        sources: All collections, where queries and pool come from a second one, or several were joined; else empty,
            and not in the file.
        correct: Correct answers of each episode.
        queries: Queries of an episode that have a right answer, which those of open classes have not;
            a list where episodes differ.
        summary: Mean accuracy over episodes and its interval.
        intervals: Further intervals of the same mean, each with another estimand.
        open_set: Known against open classes, by each measure, the one that the classifier stands for first;
            empty where no open class is asked.
        notes: Why an interval is missing, or anything else that a reader must know.
        training: How the learner was trained, where it was.
        pretraining_classes: What it had seen before.
        exposure: What the weights of its backbone had seen, where there is a list for these data.
        selection: How hyper-parameters or weights were chosen.
        seconds: Time of the evaluation, in seconds.
    """

    schema_: int = Field(SCHEMA, alias="schema")
    recipe: str | None = None
    settings: dict[str, Any] | None = None
    learner: LearnerInfo
    backbone: BackboneInfo | None = None
    data: DataInfo
    sources: list[SourceInfo] = []
    episodes: EpisodesInfo
    correct: Annotated[list[Whole], Field(min_length=1)]
    queries: Counts
    summary: Summary
    intervals: list[IntervalInfo] = []
    open_set: list[OpenSetInfo] = []
    notes: list[str] = []
    training: TrainingInfo | None = None
    pretraining_classes: SeenClasses | None = None
    exposure: Exposure | None = None
    selection: str | None = None
    versions: dict[str, str]
    code: str
    device: str
    seconds: float
    answers: AnswersInfo | None = None

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, populate_by_name=True)
    _answers: Answers | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _counts_fit(self) -> "Record":
        episodes = self.episodes.count
        asked = self.queries if isinstance(self.queries, list) else [self.queries] * episodes
        if not len(self.correct) == len(asked) == episodes:
            raise ValueError(
                f"{episodes} episodes need as many counts, got {len(self.correct)} of right answers, {len(asked)} of queries"
            )
        odd = next(
            (k for k, (right, n) in enumerate(zip(self.correct, asked, strict=True)) if not right <= n or not n), None
        )
        if odd is not None:
            raise ValueError(
                f"right answers must be among the queries, got {self.correct[odd]} of {asked[odd]} in episode {odd}"
            )
        return self

    @property
    def accuracy(self) -> float:
        """Mean accuracy over the episodes, a fraction."""
        return self.summary.accuracy

    @property
    def accuracies(self) -> np.ndarray:
        """Accuracy of each episode, ``(episodes,)``."""
        accuracies: np.ndarray = np.asarray(self.correct, np.float64) / np.asarray(self.queries)
        return accuracies

    @property
    def figures(self) -> list[Figure]:
        """The mean accuracy with each of its intervals, the first of them as in the summary."""
        fields = set(IntervalInfo.model_fields)
        intervals = [one.model_dump(include=fields) for one in (self.summary, *self.intervals)]
        return [Figure(name="accuracy", value=self.accuracy, **one) for one in intervals]

    @property
    def target(self) -> SourceInfo | None:
        """The second collection, which queries and pool come from, where there is one."""
        return next((source for source in self.sources if source.part == QUERIES), None)

    @property
    def backbone_name(self) -> str | None:
        """Of what turns items into features: also of one inside a learner that trains it, as its recipe says."""
        if self.backbone is not None:
            return self.backbone.name
        named: str | None = (self.settings or {}).get("backbone")
        return named

    def with_answers(self, answers: Answers | None) -> "Record":
        """The same record with the answers of its queries in memory."""
        record = self.model_copy()
        record._answers = answers
        return record

    def load_answers(self, folder: Path | str = ".") -> Answers:
        """The answers: from memory, or from the file beside the record.

        Raises:
            RecordError: If there are none, or the file is not the one that was written.
        """
        if self._answers is not None:
            return self._answers
        if self.answers is None:
            raise RecordError(
                "a record must name its answers, got one that was saved without; run it again with --again"
            )
        path = Path(folder) / self.answers.file
        if not path.is_file():
            raise RecordError(
                f"the answers of the record must lie beside it, got no file '{path}'; run it again with --again"
            )
        with in_one_sentence(f"'{path}' must be readable", "run it again with --again", RecordError):
            content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.answers.hash:
            raise RecordError(
                f"'{path}' must be the file that the record names, got another content; run it again with --again"
            )
        with in_one_sentence(f"'{path}' must be whole answers", "run it again with --again", RecordError):
            answers = Answers.from_bytes(content)
            right = answers.correct.tolist()
        if right != self.correct:
            raise RecordError(
                f"the answers in '{self.answers.file}' must have the right ones that the record counts, "
                f"got {sum(right)} where it has {sum(self.correct)}; run it again with --again"
            )
        return answers

    def check_answers(self, folder: Path | str) -> None:
        """See that the answers beside the record are whole and its own.

        Args:
            folder: Where the record is.

        Raises:
            RecordError: If they are not there, are others, or have other numbers of right ones.
        """
        if self.answers is None:
            return
        self.with_answers(None).load_answers(folder)

    def save(self, path: Path | str, replaces: str | None = ANYTHING) -> "Record":
        """Write the answers, where they are in memory, and then the JSON file that names them.

        Until the JSON file is whole, the record that was there keeps its own answers; those are removed afterwards.

        Args:
            path: The ``.json`` file.
            replaces: `fewshot.plumbing.files.content_hash` of what may be there; whatever is there when left out.

        Returns:
            The record with the name and hash of its answers' file.

        Raises:
            DataError: If a file cannot be written.
            RecordError: If something else is there.
        """
        path, record = Path(path), self
        with replacing(path, replaces):
            if self._answers is not None:
                content = self._answers.to_bytes()
                record = self.model_copy(update={"answers": AnswersInfo.of(path, content)})
                assert record.answers is not None
                write_bytes(path.with_name(record.answers.file), content)
            others = _other_answers(path, record)
            write_json(path, record.as_json())
            for file in others:
                file.unlink(missing_ok=True)
        return record

    def as_json(self) -> dict[str, Any]:
        """What the file holds."""
        return self.model_dump(by_alias=True, mode="json", exclude=None if self.sources else {"sources"})

    @classmethod
    def load(cls, path: Path | str) -> "Record":
        """Read a record.

        Raises:
            RecordError: If the file is missing, torn, of an unknown schema, or no record.
        """
        return cls.of_content(path, read_content(path, "a record in JSON"))

    @classmethod
    def of_content(cls, path: Path | str, content: Any) -> "Record":
        """The record that a file holds.

        Args:
            path: Of the file, for messages.
            content: What its JSON says.

        Raises:
            RecordError: If it is of an unknown schema, or no record of episodes.
        """
        _require_schema(path, content)
        record: Record = of_form(
            cls, content, f"'{path}' must be a whole record", "run it again with --again", RecordError
        )
        return record


@contextmanager
def replacing(path: Path, what: str | None) -> Iterator[None]:
    """Hold the folder of a record while it is written, if what is there may be replaced.

    Args:
        path: Of the record.
        what: `fewshot.plumbing.files.content_hash` of what may be there, or ``ANYTHING``.

    Raises:
        RecordError: If another run has written it meanwhile.
    """
    with one_at_a_time(path.parent):
        if what != ANYTHING and content_hash(path) != what:
            raise RecordError(
                f"'{path}' must be as it was when this run began, got what another run has written meanwhile; "
                "give another folder with --out, or --again to replace it"
            )
        yield


def _other_answers(path: Path, record: Record) -> list[Path]:
    """Answers of the record that is there, and of runs that ended before they had written theirs."""
    old = _stored_answers(path)
    named = re.compile(rf"{re.escape(path.stem)}\.[0-9a-f]{{{NAMED}}}\.npz")
    files = [file for file in path.parent.glob("*.npz") if named.fullmatch(file.name)]
    if old is not None and content_hash(path.with_name(old.file)) == old.hash:  # in 0.1.0 the name had no hash
        files.append(path.with_name(old.file))
    return [file for file in files if record.answers is None or file.name != record.answers.file]


def _stored_answers(path: Path) -> AnswersInfo | None:
    """What the record that is there says of its answers, if it is one and has any."""
    try:
        return AnswersInfo.model_validate(json.loads(path.read_text(encoding="utf-8"))["answers"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _require_schema(path: Path | str, content: Any) -> None:
    """Let JSON pass that is meant as a record which this version can read."""
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema is not None and (type(schema) is not int or schema < 1):
        raise RecordError(
            f"'{path}' must be a record whose schema is a whole number from 1 to {NEWEST}, got {schema!r}; "
            "run it again with --again"
        )
    if schema is not None and schema > NEWEST:
        raise RecordError(
            f"'{path}' must be a record of schema {NEWEST} or older, got {schema}; update fewshot to read it"
        )
    lacking = [f"'{key}'" for key in MARKS if not isinstance(content, dict) or key not in content]
    if lacking:
        raise RecordError(
            f"'{path}' is no record of episodes, got JSON without {', '.join(lacking)}; name another file"
        )


def read_content(path: Path | str, what: str) -> Any:
    """The content of a JSON file.

    Args:
        path: Of the file.
        what: What it must be, for the message.

    Raises:
        RecordError: If nothing is there, or a folder is, or the file is torn.
    """
    path = Path(path)
    if not path.is_file():
        got = "a folder; name a file in it" if path.is_dir() else "nothing there; check the path"
        raise RecordError(f"'{path}' must be {what}, got {got}")
    with in_one_sentence(f"'{path}' must be {what}", "run it again with --again", RecordError):
        return json.loads(path.read_text(encoding="utf-8"))
