"""Which parts of a learner stay in eval mode while the rest is trained."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


def kept_in_eval(learner: nn.Module) -> list[nn.Module]:
    """Parts that were frozen on purpose.

    These are norms and dropouts that are in eval mode inside of a module in train mode, and all that is in eval mode in a part
    whose parameters are all frozen. A whole backbone in eval mode is none: `load_backbone` gives it so.
    """
    modules = list(learner.modules())
    alone = [
        child
        for parent in modules
        if parent.training
        for child in parent.children()
        if not child.training and isinstance(child, (_NormBase, _DropoutNd))
    ]
    frozen = [part for module in modules if _is_frozen(module) for part in module.modules() if not part.training]
    return [*alone, *frozen]


def train_but(learner: nn.Module, kept: list[nn.Module]) -> None:
    """Train mode for all but some parts."""
    learner.train()
    for module in kept:
        module.training = False


def _is_frozen(module: nn.Module) -> bool:
    parameters = list(module.parameters())
    return not module.training and bool(parameters) and not any(p.requires_grad for p in parameters)
