"""MAML: initial weights from which a few gradient steps on the support lead to a good classifier.

Paper: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017,
    algorithms 1 and 2, eq. 1; appendix A.1.
Code: github.com/cbfinn/maml, ``maml.py``. It sums the loss over the classes, so its step is N times ours on the mean
    loss: the published 0.4 with 5 ways is 2.0 here, 0.1 with 20 ways too. Batch norm has a scale here, as torch's
    layers have, and scale and shift adapt with the rest.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fewshot.contract import Classifier, SupportSet, per_episode
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import require_every_class
from fewshot.inner_loop import Headed, Parameters, answer, check_policy, descend, run, support_statistics


class MAML(nn.Module):
    """Log-probabilities of a network after gradient steps on the support; its initial weights are trained.

    Args:
        backbone: A module that turns items into features; a linear head is added.
        way: Number of classes; the head has no other.
        lr: Step size on the mean loss of the support; N times that of the paper.
        steps: Inner steps in training.
        test_steps: Inner steps in evaluation; as in training when left out.
        adapts: ``"all"``, ``"head"`` (ANIL), ``"body"`` (BOIL), or a function of a parameter's name.
        first_order: Leave out the derivatives of the inner gradients (FOMAML).
        batch_norm: See `fewshot.inner_loop.answer`; ``"query-batch"`` is the paper's, and transductive.

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
        first_order: bool = False,
        batch_norm: str = "query-batch",
    ) -> None:
        super().__init__()
        check_policy(batch_norm)
        if not (steps >= 0 and (test_steps or 0) >= 0 and lr >= 0):
            raise FewShotError(f"steps and lr must not be negative, got {steps}, {test_steps} and {lr}")
        self.network = Headed(backbone, way)
        self.way, self.lr, self.steps, self.test_steps = way, lr, steps, test_steps
        self.adapts, self.first_order, self.batch_norm = adapts, first_order, batch_norm
        if not self.fast():
            raise FewShotError(f"adapts must choose parameters of the network, got {adapts!r}, which chooses none")

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return self.batch_norm == "query-batch"

    def fast(self) -> Parameters:
        """The parameters that adapt, by name."""
        choose = {
            "all": lambda n: True,
            "head": lambda n: n.startswith("head."),
            "body": lambda n: not n.startswith("head."),
        }
        wanted = choose[self.adapts] if isinstance(self.adapts, str) else self.adapts
        return {name: p for name, p in self.network.named_parameters() if wanted(name)}

    @per_episode
    def adapt(self, support: SupportSet) -> Classifier:
        """Take the inner steps; the graph is kept only where gradients are enabled.

        Raises:
            EpisodeError: If the number of classes is not the head's, a class has no example, or a step diverges.
        """
        if support.n_way != self.way:
            raise EpisodeError(
                f"the head is of {self.way} ways, got an episode of {support.n_way}; train another, or evaluate with way={self.way}"
            )
        require_every_class(support.y, support.n_way)
        parameters = self.fast()

        def loss_of(p: Parameters) -> Tensor:
            with support_statistics(self.network, self.batch_norm):
                return cross_entropy(run(self.network, p, support.x), support.y)

        steps = self.steps if self.training or self.test_steps is None else self.test_steps
        for _ in range(steps):
            parameters = descend(loss_of, parameters, self.lr, second_order=not self.first_order)
        return lambda query: answer(self.network, parameters, support.x, query, self.batch_norm).log_softmax(-1)
