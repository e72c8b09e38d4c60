"""Zero-shot prototypical networks: the prototype of a class is embedded from its description.

Paper: Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017, the paragraph on zero-shot
    learning in section 2 and the experiment on CUB in section 3 (table 3).
Code: github.com/jakesnell/prototypical-networks, which has no zero-shot part. Differences: the number of steps is an
    option and not chosen by early stopping; where base classes are fewer than ``way``, episodes have them all.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import squared_distances
from fewshot.learners.described.descriptors import base_classes, class_descriptors, require_base
from fewshot.plumbing.number_checks import keep_whole_numbers, seed_number


@dataclass(frozen=True)
class ZeroShotProtoNet:
    """Log-probabilities log softmax(−‖F x - c_k‖²) with c_k = G v_k / ‖G v_k‖; F and G are linear.

    Attributes:
        dim: Size of the embedding; that of the items when left out.
        way: Classes of a training episode.
        query: Items of each of them; all items of a class that has fewer.
        steps: Training episodes, of one step of Adam each.
        learning_rate: Of Adam.
        weight_decay: Of Adam.
        seed: Of the initial maps and the episodes.
        item_map: Fᵀ, which `with_base` learns.
        class_map: Gᵀ, likewise.

    Raises:
        FewShotError: If an option is out of its range.
    """

    dim: int | None = None
    way: int = 50
    query: int = 10
    steps: int = 1000
    learning_rate: float = 1e-4
    weight_decay: float = 1e-5
    seed: int = 0
    item_map: Float[Tensor, "features dim"] | None = None
    class_map: Float[Tensor, "length dim"] | None = None

    def __post_init__(self) -> None:
        keep_whole_numbers(self, way=2, query=1, steps=1, **({} if self.dim is None else {"dim": 1}))
        seed_number(self.seed)
        if not self.learning_rate > 0 <= self.weight_decay:
            rates = f"{self.learning_rate} and {self.weight_decay}"
            raise FewShotError(f"learning_rate must be above 0 and weight_decay at least 0, got {rates}")

    def with_base(self, base: SupportSet) -> "ZeroShotProtoNet":
        """The same learner with both maps trained on episodes of the base classes.

        Raises:
            EpisodeError: If base classes lack items or descriptors, or there is one only.
            FewShotError: If the rate is so large that the maps overflow.
        """
        x, y, described = base_classes(base)
        if base.n_way < 2:
            raise EpisodeError(f"training episodes need at least two base classes, got {base.n_way}")
        members = [(y == k).nonzero()[:, 0] for k in range(base.n_way)]
        generator = torch.Generator().manual_seed(self.seed)
        # Both maps start as linear layers of torch do: uniform within ±1 / √(size of what comes in).
        starts = (torch.rand(n, self.dim or x.shape[1], generator=generator) for n in (x.shape[1], described.shape[1]))
        f, g = (((2 * start - 1) / len(start) ** 0.5).to(x).requires_grad_() for start in starts)
        optimiser = torch.optim.Adam([f, g], lr=self.learning_rate, weight_decay=self.weight_decay)
        for _ in range(self.steps):
            chosen = torch.randperm(base.n_way, generator=generator)[: self.way]
            rows = [members[k][torch.randperm(len(members[k]), generator=generator)[: self.query]] for k in chosen]
            labels = torch.cat([torch.full_like(of, k) for k, of in enumerate(rows)])
            with torch.enable_grad():
                distances = squared_distances(x[torch.cat(rows)] @ f, normalize(described[chosen] @ g, dim=-1))
                f.grad, g.grad = torch.autograd.grad(cross_entropy(-distances, labels), [f, g])
            optimiser.step()
        if not bool(f.isfinite().all() and g.isfinite().all()):
            raise FewShotError(f"maps must stay finite, got nan or infinity; lower learning_rate {self.learning_rate}")
        return replace(self, item_map=f.detach(), class_map=g.detach())

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Embed the descriptors of the new classes as prototypes; support items play no part.

        Raises:
            NotFittedError: If no base classes were seen.
            EpisodeError: If descriptors are missing, not finite, or not as long as those of the base classes.
        """
        f, g = (require_base(fitted, "ZeroShotProtoNet") for fitted in (self.item_map, self.class_map))
        v = class_descriptors(support, len(g))
        prototypes = normalize(v @ g.to(v), dim=-1)  # (e, n_way, dim)
        return lambda query: (-squared_distances(query @ f.to(query), prototypes.to(query))).log_softmax(-1)
