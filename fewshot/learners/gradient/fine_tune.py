"""Fine-tuning: gradient steps on a copy of a network, or of some of its layers, on the support of each episode.

Papers: Yosinski, Clune, Bengio and Lipson, "How transferable are features in deep neural networks?", NeurIPS 2014, for
    frozen and fine-tuned layers; Howard and Ruder, "Universal Language Model Fine-tuning", ACL 2018, secs. 3.2 and 3.3,
    for step sizes that fall from layer to layer and gradual unfreezing; Li, Grandvalet and Davoine, "Explicit Inductive
    Bias for Transfer Learning", ICML 2018, eq. 2, for L2-SP; Ben Zaken et al., "BitFit", ACL 2022; Hu et al., "LoRA",
    ICLR 2022, eq. 3, without its factor α / r.
Code: none of one author. Penalties enter the gradient, with Adam too. Gradual unfreezing counts steps, not epochs.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, linear

from fewshot.contract import Classifier, SupportSet, per_episode, prepared
from fewshot.errors import FewShotError
from fewshot.functional import require_every_class
from fewshot.learners.gradient.batch_norm import check_policy, support_statistics
from fewshot.learners.gradient.fine_tuning import HEADS, Copy, Steps, first_head, plain
from fewshot.learners.gradient.freezing import Unfreeze, chosen, rates, thawed
from fewshot.learners.gradient.headed import Headed
from fewshot.learners.gradient.inner_loop import Parameters, answer, run
from fewshot.learners.gradient.inner_optimiser import batches, held_out
from fewshot.learners.gradient.low_rank import low_rank
from fewshot.plumbing.number_checks import keep_whole_numbers

Augment = Callable[[Tensor, torch.Generator], Tensor]


class FineTune(nn.Module):
    """Log-probabilities of a network with a new linear head, after gradient steps on the support.

    The network itself is never changed. Dropout follows its mode; ``evaluate`` sets that to eval.

    Args:
        backbone: A module that turns items into features ``(n, dim)``.
        unfreeze: What moves beside the head; see `fewshot.learners.gradient.freezing.chosen`.
        steps: Gradient steps on the mean cross-entropy of a batch.
        lr: Step size of the head.
        factor: Each layer's step size, from the last to the first, is that of the one above times this.
        optimiser: ``"sgd"`` or ``"adam"``.
        momentum: Of ``"sgd"``.
        batch: Items of a step; all of the support when left out.
        head: Where the head starts: ``"zero"``, ``"random"``, or at the ``"prototypes"``.
        gradual: Steps after which one more layer moves, from the last to the first; 0 is all from the start.
        l2_sp: α of the penalty ``α/2 |w - w₀|²`` that draws the backbone to its own weights.
        weight_decay: β of the penalty ``β/2 |v|²`` on the head.
        rank: Linear layers change by products ``B A`` of this rank, and other parameters of the backbone stay; 0 is off.
        folds: Parts of the support, each held out once, that choose the number of steps up to ``steps``; 0 takes all.
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`.
        augment: Makes other items of the items ``(n, *item)`` of a step, with a generator.

    Raises:
        FewShotError: If an option is out of range, or a name is unknown.
    """

    def __init__(
        self, backbone: nn.Module, unfreeze: Unfreeze = "all", steps: int = 50, lr: float = 0.01, factor: float = 1.0,
        optimiser: str = "sgd", momentum: float = 0.9, batch: int | None = None, head: str = "zero", gradual: int = 0,
        l2_sp: float = 0.0, weight_decay: float = 0.0, rank: int = 0, folds: int = 0, batch_norm: str = "running",
        augment: Augment | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        check_policy(batch_norm)
        if head not in HEADS:
            raise FewShotError(f"head must be one of {', '.join(HEADS)}, got '{head}'")
        numbers = factor, l2_sp, weight_decay
        if not min(numbers) >= 0:
            raise FewShotError(f"factor, l2_sp and weight_decay must be 0 or more, got {numbers}")
        self.backbone, self.descent, self.head = backbone, Steps(optimiser, lr, momentum), head
        self.steps, self.gradual, self.batch, self.augment = steps, gradual, batch, augment
        self.l2_sp, self.weight_decay, self.rank, self.folds = l2_sp, weight_decay, rank, folds
        self.batch_norm = batch_norm
        keep_whole_numbers(self, steps=0, gradual=0, rank=0, folds=0, **({} if batch is None else {"batch": 1}))
        if self.folds == 1:
            raise FewShotError("folds must be 0, or 2 or more, got 1")
        names = [name for name, _ in backbone.named_parameters()]
        self.moved = chosen(names, unfreeze)
        self.rates = rates(names, lr, factor)

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return self.batch_norm == "query-batch"

    @per_episode
    @prepared
    def adapt(self, support: SupportSet) -> Classifier:
        """Take the steps; nothing is differentiated through.

        Raises:
            EpisodeError: If a class has no example, weights diverge, seeds are missing where something is random, or no
                class has the two examples that folds need.
        """
        require_every_class(support.y, support.n_way)
        *_, copy = self._path(support, self._best_steps(support) if self.folds else self.steps)
        return lambda query: self._logits(copy, support.x, query).log_softmax(-1)

    def _best_steps(self, support: SupportSet) -> int:
        """The number of steps with the least cross-entropy of the items held out."""
        total: Tensor | float = 0.0
        for out in held_out(support.y, self.folds, support.generator()):
            kept = replace(support, x=support.x[~out], y=support.y[~out], domain=None)
            scores = [self._logits(copy, kept.x, support.x[out]) for copy in self._path(kept, self.steps)]
            total += torch.stack([cross_entropy(s, support.y[out], reduction="sum") for s in scores])
        return int(torch.as_tensor(total).argmin())

    def _logits(self, copy: Copy, support: Tensor, query: Tensor) -> Tensor:
        parameters = {name: p.detach() for name, p in copy.whole.items()}
        return answer(copy.network, parameters, support, query, self.batch_norm)

    def _path(self, support: SupportSet, steps: int) -> Iterator[Copy]:
        """The copy before the first step, and after each: one object, which changes."""
        random = self.head == "random" or self.rank or self.batch is not None or self.augment is not None
        generator = support.generator() if random else None
        with torch.no_grad(), support_statistics(self.backbone, self.batch_norm):
            z = self.backbone(support.x)
        with torch.random.fork_rng(devices=[]):  # the head that is drawn here is replaced
            network = Headed(self.backbone, support.n_way, z.shape[-1])
        moving = first_head(self.head, z, support.y, support.n_way, generator) | self._of_backbone(generator)
        moving = {name: p.detach().clone().requires_grad_() for name, p in moving.items()}
        copy = Copy(network, {name: p.detach() for name, p in network.named_parameters()}, moving)
        optimiser = self.descent.over(moving, {name: self.rates[plain(name)] for name in moving if plain(name)})
        for step, rows in enumerate(batches(len(z), self.batch, steps, generator)):
            yield copy
            free = thawed(self.moved, step, self.gradual)
            frozen = z[rows] if not free and self.augment is None else None
            items = support.x[rows]
            if self.augment is not None and generator is not None:
                items = self.augment(items, generator)
            copy.step(optimiser, free, partial(self._loss, copy, items, support.y[rows], frozen))
        yield copy

    def _loss(self, copy: Copy, items: Tensor, y: Tensor, frozen: Tensor | None, whole: Parameters) -> Tensor:
        """Cross-entropy, and ``α/2 |w - w₀|² + β/2 |v|²``; only the head is run where features are frozen."""
        if frozen is None:
            with support_statistics(copy.network, self.batch_norm):
                scores = run(copy.network, whole, items)
        else:
            scores = linear(frozen, whole["head.weight"], whole["head.bias"])
        loss = cross_entropy(scores, y)
        if self.l2_sp:
            ways = [(whole[name] - copy.start[name]).square().sum() for name in (f"backbone.{n}" for n in self.moved)]
            loss = loss + self.l2_sp / 2 * sum(ways)
        if self.weight_decay:
            loss = loss + self.weight_decay / 2 * sum(whole[f"head.{n}"].square().sum() for n in ("weight", "bias"))
        return loss

    def _of_backbone(self, generator: torch.Generator | None) -> Parameters:
        """Copies of what moves in the backbone, or factors of low rank beside it."""
        if self.rank and generator is not None:
            found = low_rank(self.backbone, self.moved, self.rank, generator)
        else:
            found = {name: self.backbone.get_parameter(name) for name in self.moved}
        return {f"backbone.{name}": p for name, p in found.items()}
