"""A learner on features: a backbone embeds the items, a head adapts to what comes out."""

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn

from fewshot.claims import claims_of
from fewshot.contract import Classifier, Items, SupportSet, episode_loss, features_of, with_known


class Embedded(nn.Module):
    """A learner on features: embed, then let the head adapt. ``ProtoNet = Embedded(conv4, NearestMean())``.

    Args:
        backbone: Turns prepared items ``(n, *item)`` into features ``(n, dim)``.
        head: A learner on features.
        side: Embeds descriptors that are names or raw vectors, ``(n, *side) -> (n, dim)``.
    """

    batch_norm = "running"

    def __init__(self, backbone: Any, head: Any, side: Any = None) -> None:
        super().__init__()
        self.backbone, self.head, self.side = backbone, head, side

    @property
    def transductive(self) -> bool:
        """As the head says: the embedding of one item never depends on others."""
        return claims_of(self.head).transductive

    @property
    def assumes_balanced_queries(self) -> bool:
        """As the head says."""
        return claims_of(self.head).assumes_balanced_queries

    @property
    def scores(self) -> str:
        """What the head's scores are: ``"log-probability"`` or ``"rank"``."""
        return claims_of(self.head).scores

    def embed(self, items: Items) -> Float[Tensor, "e n *feature"]:
        """Features of items ``(e, n, *item)``; episodes go through the backbone together."""
        return _features(self.backbone, items, lead=2)

    def adapt(self, support: SupportSet[Any]) -> Classifier[Any]:
        """Adapt the head to the embedded support; the classifier embeds its queries."""
        lead = support.y.ndim
        classify = self.head.adapt(self._describe(support.map(lambda x: _features(self.backbone, x, lead))))
        known = getattr(classify, "known", None)

        def after(f: Any) -> Classifier[Any]:
            return lambda query: cast(Tensor, f(_features(self.backbone, query, lead)))

        return with_known(after(classify), None if known is None else after(known))

    def with_base(self, base: SupportSet[Any]) -> "Embedded":
        """The same backbone with a head that has seen the base classes."""
        return Embedded(self.backbone, self.head.with_base(base.map(self.embed)), self.side)

    def loss(self, support: SupportSet[Any], query: Items, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Mean loss of the episodes, each with one forward pass over support, queries and pool together.

        So batch statistics are those of one episode, never shared between episodes. Lower is better.
        """
        losses = [self._loss_one(support[k : k + 1], query[k : k + 1], labels[k : k + 1]) for k in range(len(support))]
        return torch.stack(losses).mean()

    def _loss_one(self, support: SupportSet[Any], query: Any, labels: Tensor) -> Tensor:
        pool = [] if support.unlabelled is None else [support.unlabelled]
        parts = [support.x, query, *pool]
        z = torch.split_with_sizes(self.embed(_concatenate(parts)), [part.shape[1] for part in parts], 1)
        embedded = replace(support, x=z[0], unlabelled=z[2] if pool else None)
        return episode_loss(self.head, self._describe(embedded), z[1], labels)

    def _describe(self, support: SupportSet[Tensor]) -> SupportSet[Tensor]:
        if self.side is None or support.descriptors is None:
            return support
        return replace(support, descriptors=_features(self.side, support.descriptors, support.y.ndim))


def _features(backbone: Any, items: Any, lead: int) -> Tensor:
    z = features_of(backbone, items.reshape(-1, *items.shape[lead:]))
    return z.reshape(*items.shape[:lead], *z.shape[1:])


def _concatenate(parts: list[Any]) -> Any:
    return torch.cat(parts, 1) if isinstance(parts[0], Tensor) else np.concatenate(parts, 1)
