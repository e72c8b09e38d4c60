"""Transforms of features in front of any learner.

Paper: as its parts; unit length and centring as Wang et al., arXiv:1911.04623, section 3; powers as Yang, Liu and Xu,
    ICLR 2021, eq. 3; powers and QR as Hu, Gripon and Pateux, ICANN 2021, section 3.
Code: none; a transform is one function of `fewshot.transforms`, or of the user.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from fewshot.claims import claims_of
from fewshot.contract import Classifier, SupportSet, episode_loss, on_features
from fewshot.errors import FewShotError
from fewshot.transforms import Transform, make_transform


@dataclass(init=False, eq=False, repr=False)
class Transformed(nn.Module):
    """Support, pool and queries go through the transforms, in their order; the head does the rest.

    Args:
        transforms: One transform or several, in themselves or as `fewshot.transforms.make_transform` reads them:
            ``["centre", {"power": 0.5}, "normalise"]``.
        head: A learner on features, or the name of one.
        head_options: Fields of a head that is named.

    Raises:
        FewShotError: If a transform is fitted behind one that looks at all items of an episode, or there are options
            for a head that is no name.
    """

    transforms: tuple[Transform, ...]
    head: Any

    prepares = False  # transforms calculate with items, whatever the head does with them

    def __init__(self, transforms: Any, head: Any, head_options: dict[str, Any] | None = None) -> None:
        super().__init__()
        several = isinstance(transforms, Sequence) and not isinstance(transforms, str)
        self.transforms = tuple(make_transform(t) for t in (transforms if several else [transforms]))
        self.head = _learner(head, head_options)
        self._joint = [bool(getattr(t, "joint", False)) for t in self.transforms]
        behind = self.transforms[self._joint.index(True) :] if any(self._joint) else ()
        late = [
            type(t).__name__ for t in (*behind, self.head) if behind and (hasattr(t, "fit") or hasattr(t, "with_base"))
        ]
        if late:
            raise FewShotError(
                f"statistics of base classes must be taken before QR, got {late[0]} after it; change the order"
            )

    @property
    def transductive(self) -> bool:
        """As the head says: transforms look at each item alone, or keep lengths and angles."""
        return claims_of(self.head).transductive

    @property
    def assumes_balanced_queries(self) -> bool:
        """As the head says."""
        return claims_of(self.head).assumes_balanced_queries

    @property
    def scores(self) -> str:
        """What the head's scores are: ``"log-probability"`` or ``"rank"``."""
        return claims_of(self.head).scores

    def with_base(self, base: SupportSet) -> "Transformed":
        """New transforms, each fitted to base classes that went through those before it, and the head likewise."""
        fitted: list[Transform] = []
        for transform in self.transforms:
            fit = getattr(transform, "fit", None)
            fitted.append(transform if fit is None else fit(base.x.flatten(0, -2)))
            base = base.map(fitted[-1])
        return Transformed(fitted, self.head.with_base(base) if hasattr(self.head, "with_base") else self.head)

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Adapt the head to the transformed support; the classifier transforms its queries.

        Raises:
            NotFittedError: If a transform needs base classes and has seen none.
            EpisodeError: If a transform or the head refuses the items.
        """
        if any(self._joint):

            def classify(query: Tensor) -> Tensor:
                whole, asked = self._together(support, query)
                return cast(Tensor, self.head.adapt(whole)(asked))

            return classify
        adapted = self.head.adapt(support.map(self._through))
        return lambda query: cast(Tensor, adapted(self._through(query)))

    def loss(self, support: SupportSet, query: Tensor, labels: Tensor) -> Tensor:
        """The head's loss on transformed items; lower is better."""
        whole, asked = self._together(support, query)
        return episode_loss(self.head, whole, asked, labels)

    def _through(self, x: Tensor) -> Tensor:
        for transform in self.transforms:
            x = transform(x)
        return x

    def _together(self, support: SupportSet, query: Tensor) -> tuple[SupportSet, Tensor]:
        """Support and queries after one pass of all items of an episode through the transforms."""
        pool = [] if support.unlabelled is None else [cast(Tensor, support.unlabelled)]
        parts = [support.x, query, *pool]
        z = torch.split_with_sizes(self._through(torch.cat(parts, -2)), [p.shape[-2] for p in parts], -2)
        return replace(support, x=z[0], unlabelled=z[2] if pool else None), z[1]


def _learner(head: Any, options: dict[str, Any] | None) -> Any:
    if isinstance(head, str):
        from fewshot.learners.index import load_learner

        return load_learner(head, **(options or {}))
    if options:
        raise FewShotError(f"head_options are for a head that is named, got {type(head).__name__} and {options}")
    if not callable(getattr(head, "adapt", None)):
        raise FewShotError(f"a head must be a learner, or the name of one, got {head!r}; take 'nearest-mean'")
    return head
