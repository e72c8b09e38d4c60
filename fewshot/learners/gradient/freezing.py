"""Which parameters of a network move when it is fine-tuned, and how fast; all by name.

A layer is a module with parameters of its own, named as the module is: ``"blocks.3"`` owns ``"blocks.3.weight"``. Layers
stand in the order in which the network defines them, which is that of its forward pass as a rule.
"""

from collections.abc import Sequence

from fewshot.errors import FewShotError
from fewshot.plumbing.names import unknown

Unfreeze = str | int | Sequence[str]


def layer_of(name: str) -> str:
    """The layer that owns a parameter."""
    return name.rpartition(".")[0]


def layers(names: Sequence[str]) -> list[str]:
    """The layers that own these parameters, first to last."""
    return list(dict.fromkeys(map(layer_of, names)))


def chosen(names: Sequence[str], unfreeze: Unfreeze) -> list[str]:
    """The parameters of a backbone that move.

    Args:
        names: All of them, first to last.
        unfreeze: ``"head"``: none. ``"all"``. ``"biases"``: those whose names end so, shifts of norms among them (BitFit,
            Ben Zaken et al. 2022). A number: those of the last so many layers. A list: those below these layers or
            groups of layers, such as ``["blocks.3"]``.

    Raises:
        UnknownNameError: If no parameter lies below a name of the list; names the nearest one.
        FewShotError: If the word is another, there are fewer layers, or no biases.
    """
    if isinstance(unfreeze, int):
        return _last(names, unfreeze)
    if not isinstance(unfreeze, str):
        return _below(names, unfreeze)
    if unfreeze not in ("head", "all", "biases"):
        raise FewShotError(f"unfreeze must be 'head', 'all', 'biases', a number or a list of names, got '{unfreeze}'")
    found = {"head": [], "all": list(names), "biases": [n for n in names if n.endswith("bias")]}[unfreeze]
    if unfreeze == "biases" and not found:
        raise FewShotError("unfreeze='biases' needs a backbone with biases, got one without; choose layers instead")
    return found


def _last(names: Sequence[str], count: int) -> list[str]:
    every = layers(names)
    if not 0 <= count <= len(every):
        raise FewShotError(f"unfreeze must be between 0 and the {len(every)} layers of the backbone, got {count}")
    return [n for n in names if layer_of(n) in every[len(every) - count :]]


def _below(names: Sequence[str], prefixes: Sequence[str]) -> list[str]:
    known = {".".join(n.split(".")[:k]) for n in names for k in range(1, n.count(".") + 2)}
    for prefix in prefixes:
        if prefix not in known:
            raise unknown("layer to unfreeze", prefix, known)
    return [n for n in names if any(n == prefix or n.startswith(f"{prefix}.") for prefix in prefixes)]


def thawed(names: Sequence[str], step: int, every: int) -> list[str]:
    """Those of the moving parameters that move in a step, under gradual unfreezing (Howard and Ruder 2018, sec. 3.3).

    Args:
        names: The moving parameters of the backbone, first to last.
        step: From 0.
        every: The last layer joins the head after so many steps, the one before it after as many again; 0 is all at once.
    """
    count = step // every if every else len(names)
    return _last(names, min(count, len(layers(names))))


def rates(names: Sequence[str], lr: float, factor: float) -> dict[str, float]:
    """Discriminative step sizes (Howard and Ruder 2018, sec. 3.2): that of the head, times the factor for each layer below.

    Args:
        names: All parameters of the backbone, first to last.
        lr: Of the head.
        factor: The last layer of the backbone has ``lr * factor``, the one before it ``lr * factor²``.
    """
    below = {layer: k for k, layer in enumerate(reversed(layers(names)), 1)}
    return {n: lr * factor ** below[layer_of(n)] for n in names}
