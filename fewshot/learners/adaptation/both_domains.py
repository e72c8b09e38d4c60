"""A fitted learner between two domains, queried with rows of either: rules of choice need held-out rows of the source."""

from dataclasses import dataclass, replace
from typing import Any, cast

from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.learners.adaptation.heads import Mapped, RowMap
from fewshot.learners.adaptation.scaling import fit_scaling


@dataclass(frozen=True)
class BothDomains:
    """What a fitted learner makes of rows; those of the source are scaled and mapped as its support was.

    Attributes:
        classify: Mapped rows to scores, higher is more likely.
        source_features: Rows ``(n, dim)`` of the source to ``(n, k)``, in which the head learned.
        target_features: Rows of the target, to the same columns.
    """

    classify: Classifier
    source_features: RowMap
    target_features: RowMap

    def source_scores(self, rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n n_way"]:
        """Scores of rows of the source that were held out."""
        return self.classify(self.source_features(rows))

    def target_scores(self, rows: Float[Tensor, "n dim"]) -> Float[Tensor, "n n_way"]:
        """Scores of rows of the target."""
        return self.classify(self.target_features(rows))


def fit_both(learner: Any, support: SupportSet) -> BothDomains:
    """A learner, adapted to one episode.

    Args:
        learner: Of two domains, one whose ``adapt`` has the decorator ``on_domains``.
        support: One episode without ``e``: rows of the source with labels, and those of the target as ``unlabelled``.

    Raises:
        FewShotError: If it is another learner.
        EpisodeError: If there is no row of the target.
    """
    adapt_one = getattr(type(learner).adapt, "of_domains", None)
    if adapt_one is None:
        raise FewShotError(
            f"only a learner that adapts to a target without labels is fitted to both domains, got {type(learner).__name__}"
        )
    if support.unlabelled is None:
        raise EpisodeError("fitting to both domains needs rows of the target, got none; give them as unlabelled")
    x, target = support.x.double(), cast(Tensor, support.unlabelled).double()
    of_source, of_target = fit_scaling(learner.scaling, x), fit_scaling(learner.scaling, target)
    fitted = adapt_one(learner, replace(support, x=of_source(x), unlabelled=of_target(target)))
    mapped = fitted if isinstance(fitted, Mapped) else Mapped(fitted, _same, _same)
    return BothDomains(
        mapped.head,
        lambda rows: mapped.of_source(of_source(rows.double())),
        lambda rows: mapped.of_target(of_target(rows.double())),
    )


def _same(rows: Tensor) -> Tensor:
    return rows
