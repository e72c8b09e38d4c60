"""The head of a learner between domains: it answers for mapped rows of the target from mapped rows of the source."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from fewshot.claims import claims_of
from fewshot.contract import Classifier, SupportSet
from fewshot.errors import FewShotError

RowMap = Callable[[Tensor], Tensor]
MOST = 2**23  # numbers in a table of source by target rows


def keep_head(learner: Any) -> None:
    """Check the ``head`` of a learner, a frozen one too; where it is a name or ``{name: options}``, load it.

    Raises:
        FewShotError: If it is no learner, or one that has to see base classes.
    """
    head = learner.head
    if isinstance(head, str | Mapping):
        head = _by_name(head)
    if not callable(getattr(head, "adapt", None)) or isinstance(head, type):
        raise FewShotError(f"a head must be a learner, or the name of one, got {head!r}; take 'k-nearest-neighbours'")
    if hasattr(head, "with_base"):
        raise FewShotError(f"a head must answer without base classes, got {type(head).__name__}; take another")
    object.__setattr__(learner, "head", head)


def _by_name(head: str | Mapping[str, Any]) -> Any:
    from fewshot.learners.index import load_learner

    if isinstance(head, str):
        return load_learner(head)
    if len(head) != 1:
        raise FewShotError(f"a head with options must be one name with them, got {list(head)}; write {{name: {{...}}}}")
    ((name, options),) = head.items()
    return load_learner(name, **options)


def is_transductive(learner: Any) -> bool:
    """Whether answers depend on the other queries: of one that adapts to them, or has a head that does."""
    return learner.adapt_to == "queries" or claims_of(learner.head).transductive


@dataclass(frozen=True)
class Mapped:
    """A head between two domains; called with rows of the target, it gives scores.

    Attributes:
        head: Fitted to the mapped source: mapped rows to scores.
        of_source: Maps rows ``(n, dim)`` of the source to ``(n, k)``.
        of_target: Maps rows of the target.
    """

    head: Classifier
    of_source: RowMap
    of_target: RowMap

    def __call__(self, rows: Tensor) -> Tensor:
        """Scores of rows of the target."""
        return self.head(self.of_target(rows))


def on_mapped(head: Any, support: SupportSet, of_source: RowMap, of_target: RowMap) -> Mapped:
    """The head, adapted to the mapped source.

    Args:
        head: Any learner; it gets the mapped target as its pool, and queries in blocks unless it is transductive.
        support: One episode, scaled.
        of_source: Maps rows ``(n, dim)`` of the source to ``(n, k)``.
        of_target: Maps rows of the target.
    """
    source = of_source(support.x)
    pool = None if support.unlabelled is None else of_target(cast(Tensor, support.unlabelled))[None]
    seed = None if support.seed is None else support.seed.reshape(1)
    mapped = SupportSet(source[None], support.y[None], support.n_way, unlabelled=pool, seed=seed)
    classify = head.adapt(mapped)
    size = max(1, MOST // len(source))

    def scores(rows: Tensor) -> Tensor:
        blocks = [rows] if claims_of(head).transductive else torch.split(rows, size)
        return torch.cat([classify(block[None])[0] for block in blocks])

    return Mapped(scores, of_source, of_target)
