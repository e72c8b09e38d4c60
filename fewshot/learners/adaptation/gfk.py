"""Geodesic flow kernel: inner products over all subspaces on the shortest way from the source's to the target's.

Paper: Gong, Shi, Sha and Grauman, "Geodesic Flow Kernel for Unsupervised Domain Adaptation", CVPR 2012, eqs. 2 to 6.
Code: the authors' ``GFK.m`` makes the kernel of all columns; here rows are mapped by its root, which has the rank of both subspaces, so
    that distances are those of the kernel. Integrals have a factor 1/2 that the paper leaves out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.learners.adaptation.subspaces import principal_axes
from fewshot.plumbing.number_checks import keep_whole_numbers


@dataclass(frozen=True)
class GFK:
    """Rows become ``x F`` with ``F Fᵀ = ∫ Φ(t) Φ(t)ᵀ dt``, Φ(0) the source's principal directions and Φ(1) the target's.

    Attributes:
        dim: Number of directions of each domain, d of the paper.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, its name, or ``{name: options}``.

    Raises:
        FewShotError: If an option is not known.
    """

    dim: int = 20
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        keep_whole_numbers(self, dim=1)
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Find both subspaces, and let the head adapt to the mapped source.

        Raises:
            EpisodeError: If the rows of a domain vary along fewer directions.
        """
        p, r = (
            principal_axes([rows], rows.mean(0), self.dim) for rows in (support.x, cast(Tensor, support.unlabelled))
        )
        root = flow_root(p, r)
        return on_mapped(self.head, support, lambda rows: rows @ root, lambda rows: rows @ root)


def flow_root(p: Float[Tensor, "dim d"], r: Float[Tensor, "dim d"]) -> Float[Tensor, "dim k"]:
    """F with ``F Fᵀ`` the kernel of the way from the span of p to that of r, both orthonormal.

    By the principal angles θ between them: on the way, a direction of p turns by tθ towards one at right angles to it.
    """
    u, cosine, v = torch.linalg.svd(p.mT @ r)
    start = p @ u
    off = r @ v.mT - start * cosine
    sine = torch.linalg.vector_norm(off, dim=0)
    angle = torch.atan2(sine, cosine)
    across = off / torch.where(sine < 1e-14, 1.0, sine)  # where a direction does not turn, its weight is 0
    twice = 2 * angle.clamp(min=1e-150)
    even, mixed = (2 * angle).sin() / twice, angle.sin().square() * 2 / twice
    weights = torch.stack([torch.stack([1 + even, mixed], -1), torch.stack([mixed, 1 - even], -1)], -2) / 2
    values, turns = torch.linalg.eigh(weights)
    root = turns * values.clamp(min=0).sqrt().unsqueeze(-2)  # (d, 2, 2)
    return torch.cat([start * root[:, 0, k] + across * root[:, 1, k] for k in range(2)], 1)
