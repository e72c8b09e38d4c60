"""MAML++: MAML with a loss after every step, and rates and batch norm of each step's own.

Paper: Antoniou, Edwards and Storkey, "How to train your MAML", ICLR 2019, section 4.
Code: github.com/AntreasAntoniou/HowToTrainYourMAMLPytorch, ``few_shot_learning_system.py``. Differences: weights of the
    losses move with every training step, not with every epoch of 500; the per-step running statistics that the code
    collects and never normalises by are left out; cosine annealing of the outer rate belongs to the training loop.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet, per_episode, prepare, prepared
from fewshot.learners.gradient.batch_norm import check_policy, is_transductive, norm_parameters
from fewshot.learners.gradient.headed import Headed
from fewshot.learners.gradient.inner_loop import Parameters, answer, check_steps, descend, support_loss
from fewshot.plumbing.number_checks import whole_number

LEAST = 0.03  # of an even share: below it the weight of an early step does not fall while weights are annealed


class MAMLPlusPlus(nn.Module):
    """Log-probabilities of a network after gradient steps on the support; see `MAML` for what is not said here.

    Args:
        backbone: A module that turns items into features; a linear head is added.
        way: Number of classes.
        lr: Initial step size, of every tensor in every step.
        steps: Inner steps, in training and evaluation.
        annealing: Training steps in which the loss goes from an even mean over the inner steps to that of the last.
        first_order_steps: Training steps before the inner gradients are differentiated.
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`.
        dim: Number of features; the backbone's own ``dim`` when left out.
        seed: Of the head's initial weights.

    Raises:
        FewShotError: If an option is out of range.
    """

    progress: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        way: int = 5,
        lr: float = 0.1,
        steps: int = 5,
        annealing: int = 5000,
        first_order_steps: int = 0,
        batch_norm: str = "query-batch",
        dim: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_policy(batch_norm)
        check_steps(lr, steps, annealing, first_order_steps)
        steps = whole_number("steps", steps, 1)
        self.network = Headed(backbone, way, dim, seed)
        self.steps, self.batch_norm = steps, batch_norm
        self.annealing, self.first_order_steps = annealing, first_order_steps
        self.rates = nn.ParameterList([nn.Parameter(torch.full((steps,), lr)) for _ in self.fast()])
        norms = norm_parameters(self.network).values() if steps > 1 else ()  # the first step has the network's own
        self.norms = nn.ParameterList([nn.Parameter(p.detach().repeat(steps - 1, 1)) for p in norms])
        # A float, as the training loop keeps the mean of such buffers over the parts of one step.
        self.register_buffer("progress", torch.zeros(()))

    class_symmetric = False  # the head is random, or was trained

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return is_transductive(self.network, self.batch_norm)

    def fast(self) -> Parameters:
        """The parameters that adapt, by name: all but those of batch norm."""
        slow = norm_parameters(self.network)
        return {name: p for name, p in self.network.named_parameters() if name not in slow}

    @per_episode
    @prepared
    def adapt(self, support: SupportSet) -> Classifier:
        """Take all inner steps; the graph is kept only where gradients are enabled.

        Raises:
            EpisodeError: If the number of classes is not the head's, a class has no example, or a step diverges.
        """
        *_, parameters = self.after_each_step(support)
        return lambda query: answer(self.network, parameters, support.x, query, self.batch_norm).log_softmax(-1)

    def loss(self, support: SupportSet, query: Any, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Weighted mean of the losses after each step, lower is better; in training ``progress`` grows by one."""
        weights, ready = self.weights(), partial(prepare, self.network.backbone)
        losses = [
            self._loss_one(support[k].map(ready), ready(query[k]), labels[k], weights) for k in range(len(support))
        ]
        if self.training and torch.is_grad_enabled():
            self.progress += 1
        return torch.stack(losses).mean()

    def weights(self) -> list[float]:
        """What the loss after each step counts: even at first, then less for all but the last; in evaluation 0."""
        n, done = self.steps, float(self.progress)
        annealed = not self.training or done >= self.annealing
        early = 0.0 if annealed else max(1 - done / self.annealing, LEAST) / n
        return [early] * (n - 1) + [1 - (n - 1) * early]

    def after_each_step(self, support: SupportSet) -> Iterator[Parameters]:
        """The network's parameters after each step, with the batch norm by which the step was taken."""
        self.network.require_ways(support)
        fast, own = self.fast(), norm_parameters(self.network)
        second_order = bool(self.progress >= self.first_order_steps)
        for step in range(self.steps):
            rates = {name: rate[step] for name, rate in zip(fast, self.rates, strict=True)}
            norms = dict(zip(own, (p[step - 1] for p in self.norms), strict=True)) if step else own
            loss = support_loss(self.network, support, self.batch_norm, norms)
            fast = descend(loss, fast, rates, second_order=second_order)
            yield fast | norms

    def _loss_one(self, support: SupportSet, query: Any, labels: Tensor, weights: list[float]) -> Tensor:
        steps = [(p, w) for p, w in zip(self.after_each_step(support), weights, strict=True) if w > 0]
        answers = (answer(self.network, p, support.x, query, self.batch_norm) for p, _ in steps)
        return torch.stack([w * cross_entropy(z, labels) for (_, w), z in zip(steps, answers, strict=True)]).sum()
