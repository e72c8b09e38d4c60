"""Changes of low rank: the weights of linear layers move by products of small factors, by name.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3, without its factor α / r.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fewshot.errors import FewShotError

Parameters = dict[str, Tensor]


def low_rank(module: nn.Module, names: Sequence[str], rank: int, generator: torch.Generator) -> Parameters:
    """Factors of a change ``B A`` of the weights of linear layers.

    Args:
        module: Owns the parameters.
        names: Parameters that would move; those that are no weights of linear layers are left out, and stay.
        rank: Rows of A, columns of B.
        generator: Draws A as torch draws a linear layer's weights; B is 0.

    Raises:
        FewShotError: If none of them is the weight of a linear layer.
    """
    factors = {}
    for name in names:
        if name.endswith("weight") and isinstance(module.get_submodule(name.rpartition(".")[0]), nn.Linear):
            weight = module.get_parameter(name)
            a = torch.rand(rank, weight.shape[1], generator=generator, dtype=torch.float64)
            factors[f"{name}:A"] = ((2 * a - 1) / weight.shape[1] ** 0.5).to(weight)
            factors[f"{name}:B"] = weight.new_zeros(weight.shape[0], rank)
    if not factors:
        raise FewShotError("rank needs linear layers among those that move, got none; leave it at 0")
    return factors


def assembled(parameters: Parameters, moving: Parameters) -> Parameters:
    """All parameters, with those that move in their places and the products of low rank added."""
    whole = parameters | {n: p for n, p in moving.items() if ":" not in n}
    for name in [n[:-2] for n in moving if n.endswith(":B")]:
        whole[name] = parameters[name] + moving[f"{name}:B"] @ moving[f"{name}:A"]
    return whole
