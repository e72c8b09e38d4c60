"""Proto-MAML: MAML whose head starts from the episode's prototypes, so that it takes any number of classes.

Paper: Triantafillou et al., "Meta-Dataset: A Dataset of Datasets for Learning to Learn from Few Examples", ICLR 2020,
    section 3; the head of Snell et al. (2017), section 2.4.
Code: github.com/google-research/meta-dataset, ``learners/optimization_learners.py``: ``MAMLLearner`` with
    ``proto_maml_fc_layer_init``, 5 first-order steps of 0.01 on the mean loss; scale and shift of batch norm do not
    adapt. No intended difference.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from fewshot.contract import Classifier, SupportSet, per_episode, prepared
from fewshot.errors import FewShotError
from fewshot.functional import class_means
from fewshot.learners.gradient.batch_norm import check_policy, is_transductive, norm_parameters, support_statistics
from fewshot.learners.gradient.headed import check_module
from fewshot.learners.gradient.inner_loop import Parameters, answer, check_steps, descend, support_loss


class _Network(nn.Module):
    """Logits of a head on a backbone; every episode brings ``weight`` and ``bias``."""

    weight: Tensor
    bias: Tensor

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.register_buffer("weight", torch.empty(0), persistent=False)
        self.register_buffer("bias", torch.empty(0), persistent=False)

    def forward(self, items: Any) -> Tensor:
        return linear(self.backbone(items), self.weight, self.bias)


class ProtoMAML(nn.Module):
    """Log-probabilities of a backbone with a head of prototypes, after gradient steps of both on the support.

    Args:
        backbone: A module that turns items into features; its initial weights are trained.
        lr: Step size on the mean loss of the support.
        steps: Inner steps in training; without one it is a prototypical network.
        test_steps: Inner steps in evaluation; as in training when left out.
        first_order: Leave out the derivatives of the inner gradients; those of the prototypes stay.
        batch_norm: See `fewshot.learners.gradient.inner_loop.answer`.

    Raises:
        FewShotError: If an option is out of range, or the backbone has no parameters.
    """

    def __init__(
        self,
        backbone: nn.Module,
        lr: float = 0.01,
        steps: int = 5,
        test_steps: int | None = None,
        first_order: bool = True,
        batch_norm: str = "query-batch",
    ) -> None:
        super().__init__()
        check_module(backbone)
        check_policy(batch_norm)
        check_steps(lr, steps, test_steps)
        if not any(True for _ in backbone.parameters()):
            raise FewShotError(f"the backbone needs parameters to train, got a {type(backbone).__name__} without")
        self.network = _Network(backbone)
        self.lr, self.steps, self.test_steps = lr, steps, test_steps
        self.first_order, self.batch_norm = first_order, batch_norm

    @property
    def transductive(self) -> bool:
        """Whether an answer depends on the other queries, through their batch statistics."""
        return is_transductive(self.network, self.batch_norm)

    def start(self, support: SupportSet) -> Parameters:
        """What adapts: the backbone without its batch norm, and ``w_k = 2 c_k``, ``b_k = -|c_k|²``."""
        with support_statistics(self.network, self.batch_norm):
            c = class_means(self.network.backbone(support.x), support.y, support.n_way)
        slow = norm_parameters(self.network)
        body = {name: p for name, p in self.network.named_parameters() if name not in slow}
        return {**body, "weight": 2 * c, "bias": -c.square().sum(-1)}

    @per_episode
    @prepared
    def adapt(self, support: SupportSet) -> Classifier:
        """Make the head and take the inner steps; the graph is kept only where gradients are enabled.

        Raises:
            EpisodeError: If a class has no example, or a step diverges.
        """
        parameters, loss = self.start(support), support_loss(self.network, support, self.batch_norm)
        for _ in range(self.steps if self.training or self.test_steps is None else self.test_steps):
            parameters = descend(loss, parameters, self.lr, second_order=not self.first_order)
        return lambda query: answer(self.network, parameters, support.x, query, self.batch_norm).log_softmax(-1)
