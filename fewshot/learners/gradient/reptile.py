"""Reptile: initial weights that move toward those which each training task ends at.

Paper: Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018, algorithms 1 and 2, sec. 6.1; the
    defaults are those of its Omniglot 5-way runs. As there, steps are of Adam without momentum (β₁ = 0), or plain ones.
Code: github.com/openai/supervised-reptile, ``supervised_reptile/reptile.py``. As there, Adam's second moments carry over
    from one training task to the next, and a test task starts from what training left. The bias correction comes
    before ε is added, as torch does it, and the head starts as torch's layers do.
"""

import copy
from functools import partial

import torch
from jaxtyping import Float, Integer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet, per_episode, prepare, prepared
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class
from fewshot.learners.gradient.batch_norm import batch_statistics
from fewshot.learners.gradient.headed import Headed
from fewshot.learners.gradient.inner_loop import Parameters, answer, check_steps, run
from fewshot.learners.gradient.inner_optimiser import Moments, batches, require_finite_weights
from fewshot.plumbing.number_checks import whole_number


class Reptile(nn.Module):
    """Log-probabilities of a network after gradient steps on the support; its initial weights θ are trained.

    Training: `loss` has the gradient θ - W, so plain gradient descent with step size ε, which falls to 0, is Reptile.

    Args:
        backbone: A module that turns items into features; a linear head is added.
        way: Number of classes; the head has no other.
        lr: Step size in a task.
        steps: Steps in a training task.
        batch: Items of such a step.
        test_steps: Steps in evaluation.
        test_batch: Items of a step in evaluation.
        optimiser: ``"adam"``, or ``"sgd"``.
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`; ``"query-batch"`` is what the paper calls transductive. Steps
            always normalise by their own batch, and no running average is kept.

    Raises:
        FewShotError: If an option is out of range, or a name is unknown.
    """

    def __init__(
        self,
        backbone: nn.Module,
        way: int = 5,
        lr: float = 1e-3,
        steps: int = 5,
        batch: int = 10,
        test_steps: int = 50,
        test_batch: int = 5,
        optimiser: str = "adam",
        batch_norm: str = "each-query",
    ) -> None:
        super().__init__()
        if batch_norm not in ("each-query", "support", "query-batch"):
            raise FewShotError(f"batch_norm must be each-query, support or query-batch, got '{batch_norm}'")
        if optimiser not in ("adam", "sgd"):
            raise FewShotError(f"optimiser must be 'adam' or 'sgd', got '{optimiser}'")
        check_steps(lr, steps, test_steps)
        batch, test_batch = whole_number("batch", batch, 1), whole_number("test_batch", test_batch, 1)
        self.network = Headed(backbone, way)
        self.moments = Moments(dict(self.network.named_parameters()))
        self.way, self.lr, self.optimiser, self.batch_norm = way, lr, optimiser, batch_norm
        self.steps, self.batch, self.test_steps, self.test_batch = steps, batch, test_steps, test_batch

    class_symmetric = False  # the head is random, or was trained

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return self.batch_norm == "query-batch"

    def loss(self, support: SupportSet, query: Tensor, labels: Integer[Tensor, "e q"]) -> Float[Tensor, ""]:
        """Half the squared way that a task moves the weights, ``|θ - W|² / 2``, as a mean over tasks.

        Support and queries together are the examples of a task. The moments change.

        Raises:
            EpisodeError: If the number of classes is not the head's, seeds are missing, or a step diverges.
        """
        x, y = torch.cat([support.x, query], 1), torch.cat([support.y, labels], 1)
        tasks, ways = SupportSet(x, y, support.n_way, seed=support.seed), []
        for k in range(len(tasks)):
            end = self._learn(
                tasks[k].map(partial(prepare, self.network.backbone)), self.steps, self.batch, self.moments
            )
            ways += [(p - end[name]).square().sum() / 2 for name, p in self.network.named_parameters()]
        return torch.stack(ways).sum() / len(tasks)

    @per_episode
    @prepared
    def adapt(self, support: SupportSet) -> Classifier:
        """Take the steps of evaluation; nothing is differentiated through.

        Raises:
            EpisodeError: If the number of classes is not the head's, a class has no example, seeds are missing, or a
                step diverges.
        """
        require_every_class(support.y, support.n_way)
        end = self._learn(support, self.test_steps, self.test_batch, copy.deepcopy(self.moments))
        return lambda query: answer(self.network, end, support.x, query, self.batch_norm).log_softmax(-1)

    def _learn(self, task: SupportSet, steps: int, batch: int, moments: Moments) -> Parameters:
        """The weights that the steps lead to from θ."""
        if task.n_way != self.way:
            raise EpisodeError(f"the head is of {self.way} ways, got an episode of {task.n_way}; train another")
        end = {n: p.detach() for n, p in self.network.named_parameters()}
        for rows in batches(len(task.y), batch, steps, task.generator()):
            here = {n: p.requires_grad_() for n, p in end.items()}
            with torch.enable_grad(), batch_statistics(self.network):
                loss = cross_entropy(run(self.network, here, task.x[rows]), task.y[rows])
                gradients = torch.autograd.grad(loss, list(here.values()), materialize_grads=True)
            slopes = dict(zip(here, gradients, strict=True))
            steep = moments.scaled(slopes) if self.optimiser == "adam" else slopes
            end = {n: p.detach() - self.lr * steep[n] for n, p in here.items()}
            require_finite_weights(end, self.lr)
        return end
