"""AdaBN: batch norm by the statistics of the target.

Li et al., "Revisiting Batch Normalization for Practical Domain Adaptation", ICLR workshops 2017 (arXiv:1603.04779), algorithm 1.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fewshot.contract import prepare
from fewshot.datasets.collection import Collection
from fewshot.errors import FewShotError
from fewshot.evaluation.answers import eval_mode


def adapt_batch_norm(backbone: nn.Module, pool: Collection, batch: int = 256) -> None:
    """Set the running statistics of every batch norm layer to those of its inputs over the whole pool, in place.

    Layers are set one after the other, in the order in which they run, each by inputs that the layers before it give with their
    new statistics. So the result does not depend on ``batch``. It takes one pass over the pool for each layer. Weights stay.

    Args:
        backbone: A network with batch norm.
        pool: Items of the target; labels are not read.
        batch: Items of a pass.

    Raises:
        FewShotError: If the network has no batch norm that keeps running statistics, or a layer sees fewer than two numbers a channel.
    """
    layers = [m for m in backbone.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not layers:
        raise FewShotError(f"AdaBN needs batch norm with running statistics, got none in {type(backbone).__name__}")
    with torch.no_grad(), eval_mode(backbone):
        for layer in _in_order(backbone, layers, pool):
            mean, variance = _statistics(backbone, layer, pool, batch)
            layer.running_mean.copy_(mean)  # type: ignore[union-attr]  # it has one
            layer.running_var.copy_(variance)  # type: ignore[union-attr]


def _in_order(backbone: nn.Module, layers: list[_BatchNorm], pool: Collection) -> list[_BatchNorm]:
    order: dict[_BatchNorm, None] = {}
    hooks = [layer.register_forward_hook(lambda m, *_: order.setdefault(m)) for layer in layers]
    try:
        _pass(backbone, pool, slice(0, 1))
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


def _statistics(
    backbone: nn.Module, layer: _BatchNorm, pool: Collection, batch: int
) -> tuple[Float[Tensor, " c"], Float[Tensor, " c"]]:
    """Mean and unbiased variance of a layer's inputs, channel by channel, in float64."""
    seen: list[tuple[int, Tensor, Tensor]] = []

    def note(_: Any, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double().transpose(0, 1).flatten(1)
        seen.append((x.shape[1], x.mean(1), x.var(1, correction=0)))

    hook = layer.register_forward_pre_hook(note)
    try:
        for start in range(0, len(pool), batch):
            _pass(backbone, pool, slice(start, start + batch))
    finally:
        hook.remove()
    counts = torch.tensor([n for n, _, _ in seen], dtype=torch.float64, device=seen[0][1].device)[:, None]
    means, variances, total = (torch.stack([s[1] for s in seen]), torch.stack([s[2] for s in seen]), counts.sum())
    if total < 2:
        raise FewShotError(f"AdaBN needs two numbers a channel or more, got {int(total)}; give a larger pool")
    mean = (counts * means).sum(0) / total
    return mean, (counts * (variances + (means - mean).square())).sum(0) / (total - 1)


def _pass(backbone: nn.Module, pool: Collection, rows: slice) -> None:
    items = pool.take(torch.arange(len(pool))[rows].numpy())
    device = next(backbone.parameters()).device
    backbone(prepare(backbone, items.to(device) if isinstance(items, Tensor) else items))
