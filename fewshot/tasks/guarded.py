"""What the guard of a task says, for the record."""

from dataclasses import dataclass

from fewshot.records.record import SeenClasses


@dataclass(frozen=True)
class Guarded:
    """Nothing of this is a reason to refuse the learner, but a reader must know it.

    Attributes:
        seen: Classes that the learner saw in training, and how many of them are queried.
        notes: Sentences.
    """

    seen: SeenClasses | None = None
    notes: tuple[str, ...] = ()
