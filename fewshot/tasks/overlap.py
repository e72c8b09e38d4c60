"""The guard of tasks with new classes: what a learner saw in training, and what is queried."""

from typing import Any

from fewshot.claims import claims_of
from fewshot.datasets.collection import Collection
from fewshot.errors import LeakageError
from fewshot.plumbing.files import digest
from fewshot.records.record import SeenClasses


def asked_classes(collection: Collection, queries: Collection | None) -> dict[str, str]:
    """Qualified names of all classes that may be queried, of both collections, and the class of each."""
    both = [one for one in (collection, queries) if one is not None]
    return {f"{origin}:{name}": name for one in both for origin, name in one.origins()}


def check_overlap(
    learner: Any, collection: Collection, allowed: bool, queries: Collection | None = None
) -> SeenClasses | None:
    """What the learner saw in training, refused where it overlaps the classes queried here.

    Args:
        learner: Trained, or not.
        collection: Classes of the evaluation.
        allowed: Let an overlap pass; the record then says so.
        queries: A second collection, whose classes count too.

    Raises:
        LeakageError: If classes overlap and that was not allowed.
    """
    seen = claims_of(learner).classes_seen
    if not seen:
        return None
    asked = asked_classes(collection, queries)
    names = sorted(seen & set(asked))
    overlap = {asked[name] for name in names}
    if overlap and not allowed:
        raise LeakageError(
            f"test classes must be new to the learner, got {len(overlap)} of {len(set(asked.values()))} that it was "
            f"trained on, such as '{names[0]}'; choose another split, or allow it with allow_seen=True and say so"
        )
    names = sorted(seen)
    return SeenClasses(count=len(names), hash=digest(n.encode() for n in names)[:16], overlap=len(overlap))
