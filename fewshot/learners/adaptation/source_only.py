"""Without adaptation: a head learns from the source and answers for the target, each domain scaled by itself.

Paper: none; the row "NN" or "NA" of most tables, such as Long et al., ICCV 2013.
Code: none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped


@dataclass(frozen=True)
class SourceOnly:
    """Scores are those of the head; what is known of the target's pool is its scale at most.

    Attributes:
        scaling: Steps before the head; see `fewshot.learners.adaptation.scaling`.
        adapt_to: ``"pool"`` scales the target by the pool, ``"queries"`` by the queries of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter: where they scale the target."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Let the head adapt to the scaled source."""
        return on_mapped(self.head, support, lambda rows: rows, lambda rows: rows)
