"""The gradient of second-order MAML by parallel-metalearn 0.5.6, which runs tasks side by side under ``vmap``."""

import copy
from collections.abc import Callable
from itertools import repeat
from typing import Any

import torch
from torch import Tensor, nn

from fewshot.contract import SupportSet
from fewshot.learners.gradient.batch_norm import batch_norms


class Plain(nn.Module):
    """A module that is spared the words ``training`` and ``num_step``, which their wrapper says to every part."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor, **words: Any) -> Tensor:
        """What the module says of ``x`` alone."""
        return self.module(x)


def gradients_of(
    network: nn.Module,
    support: SupportSet[Tensor],
    query: Tensor,
    labels: Tensor,
    steps: int,
    rate: float,
    chunk: int = 4,
    backend: str = "vmap",
) -> Callable[[], list[Tensor]]:
    """A call that takes their meta-step, with an outer rate of 0, and returns the gradients that it leaves.

    Batch norm uses the batch at hand. Under ``vmap`` it must be their layer: torch's refuses to update running averages
    there, and without them gives wrong second-order gradients, silently. torch 2.14's batching rule takes the mean and
    deviation in the gradient of the scale for constants, so who differentiates from outside the ``vmap``, as they do,
    misses how both depend on the weights. One after the other, torch's layer is exact, and stays.

    Args:
        network: Turns images into logits; copied.
        support: Of ``(tasks, s, ...)``.
        query: Of ``(tasks, q, ...)``.
        labels: Of ``(tasks, q)``.
        steps: Inner steps.
        rate: Inner step size, on the mean loss of the support; not learned.
        chunk: Tasks side by side.
        backend: ``"vmap"``, or ``"sequential"``: a task after the other.

    Returns:
        Gives the gradient of the mean query loss for each of ``network.parameters()``, in their order.
    """
    from metalearn.algorithms import MAML
    from metalearn.inner_optimizers import InnerSGD
    from metalearn.loss import CategoricalAccuracy, CrossEntropy
    from metalearn.model_wrappers import MAML_Model

    ready = with_their_batch_norm(network) if backend == "vmap" else copy.deepcopy(network)
    model = MAML_Model(backbone=Plain(ready), head=Plain(nn.Identity())).train()
    inner = InnerSGD(model.get_fast_weights(), inner_lr=rate, learn_lr=False).to(query.dtype)
    for size in inner.parameters():
        nn.init.constant_(size, rate)  # they made it in float32
    algorithm = MAML(
        model=model,
        optimizer=torch.optim.SGD(model.parameters(), lr=0.0),
        inner_optimizer=inner,
        support_loss_fn=CrossEntropy(CategoricalAccuracy()),
        inner_steps=steps,
        chunk_size=chunk,
        device=query.device,
        backend=backend,
    )
    batches = repeat((support.x, {"labels": support.y}, query, {"labels": labels}))

    def answer() -> list[Tensor]:
        algorithm.step(batches)
        return [p.grad for p in model.parameters()]

    return answer


def with_their_batch_norm(network: nn.Module) -> nn.Module:
    """A copy with their batch norm layers, of the same scales and shifts, and without running averages.

    It does what their ``ModelTranslator`` is for; of 0.5.6 that calls the layer with arguments that it has not.
    """
    from metalearn.nn_models.basic_layers import BatchNorm

    network = copy.deepcopy(network)
    for name, was in batch_norms(network).items():
        layer = BatchNorm(was.num_features, was.eps, affine=was.affine, track_running_stats=False)
        layer.weight, layer.bias = was.weight, was.bias
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, layer)
    return network
