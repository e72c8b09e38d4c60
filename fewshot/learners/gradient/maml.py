"""MAML: initial weights from which a few gradient steps on the support lead to a good classifier.

Paper: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017,
    algorithms 1 and 2, eq. 1; appendix A.1.
Code: github.com/cbfinn/maml, ``maml.py``. It sums the loss over the classes, so its step is N times ours on the mean
    loss: the published 0.4 with 5 ways is 2.0 here, 0.1 with 20 ways too. Batch norm has a scale here, as torch's
    layers have, and scale and shift adapt with the rest.
"""

from collections.abc import Callable

import torch
from torch import nn

from fewshot.contract import Classifier, SupportSet, per_episode, prepared
from fewshot.errors import FewShotError
from fewshot.learners.gradient.batch_norm import check_policy, is_transductive
from fewshot.learners.gradient.headed import Headed
from fewshot.learners.gradient.inner_loop import Parameters, answer, check_steps, descend, support_loss

PARTS: dict[str, Callable[[str], bool]] = {
    "all": lambda name: True,
    "head": lambda name: name.startswith("head."),
    "body": lambda name: not name.startswith("head."),
}
RATES = ("fixed", "tensor", "element")


class MAML(nn.Module):
    """Log-probabilities of a network after gradient steps on the support; its initial weights are trained.

    Args:
        backbone: A module that turns items into features; a linear head is added.
        way: Number of classes; the head has no other.
        lr: Step size on the mean loss of the support; N times that of the paper.
        steps: Inner steps in training.
        test_steps: Inner steps in evaluation; as in training when left out.
        adapts: ``"all"``, ``"head"`` (ANIL), ``"body"`` (BOIL), or a function of a parameter's name.
        rates: ``"fixed"``, or learned from ``lr`` on: one for each ``"tensor"``, or each ``"element"`` (Meta-SGD).
        first_order: Leave out the derivatives of the inner gradients (FOMAML).
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`; ``"query-batch"`` is the paper's, and transductive.
        dim: Number of features; the backbone's own ``dim`` when left out.
        seed: Of the head's initial weights.

    Raises:
        FewShotError: If an option is out of range, or no parameter adapts.
    """

    def __init__(
        self,
        backbone: nn.Module,
        way: int = 5,
        lr: float = 2.0,
        steps: int = 1,
        test_steps: int | None = None,
        adapts: str | Callable[[str], bool] = "all",
        rates: str = "fixed",
        first_order: bool = False,
        batch_norm: str = "query-batch",
        dim: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_policy(batch_norm)
        check_steps(lr, steps, test_steps)
        if isinstance(adapts, str) and adapts not in PARTS:
            raise FewShotError(f"adapts must be one of {', '.join(PARTS)}, or a function of a name, got '{adapts}'")
        if rates not in RATES:
            raise FewShotError(f"rates must be one of {', '.join(RATES)}, got '{rates}'")
        self.network = Headed(backbone, way, dim, seed)
        self.way, self.lr, self.steps, self.test_steps = way, lr, steps, test_steps
        self.adapts, self.first_order, self.batch_norm = adapts, first_order, batch_norm
        if not self.fast():
            raise FewShotError(f"adapts must choose parameters of the network, got {adapts!r}, which chooses none")
        shapes = {"fixed": [], "tensor": [torch.empty(())] * len(self.fast()), "element": list(self.fast().values())}
        self.rates = nn.ParameterList([nn.Parameter(torch.full_like(p, lr)) for p in shapes[rates]])

    class_symmetric = False  # the head is random, or was trained

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return is_transductive(self.network, self.batch_norm)

    def fast(self) -> Parameters:
        """The parameters that adapt, by name."""
        wanted = PARTS[self.adapts] if isinstance(self.adapts, str) else self.adapts
        return {name: p for name, p in self.network.named_parameters() if wanted(name)}

    @per_episode
    @prepared
    def adapt(self, support: SupportSet) -> Classifier:
        """Take the inner steps; the graph is kept only where gradients are enabled.

        Raises:
            EpisodeError: If the number of classes is not the head's, a class has no example, or a step diverges.
        """
        self.network.require_ways(support)
        parameters, loss = self.fast(), support_loss(self.network, support, self.batch_norm)
        rates = dict(zip(parameters, self.rates, strict=True)) if self.rates else self.lr
        for _ in range(self.steps if self.training or self.test_steps is None else self.test_steps):
            parameters = descend(loss, parameters, rates, second_order=not self.first_order)
        return lambda query: answer(self.network, parameters, support.x, query, self.batch_norm).log_softmax(-1)
