"""Meta-SGD: MAML that learns a rate for every element of every weight, and so the direction of its step.

Paper: Li, Zhou, Chen and Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", arXiv:1707.09835,
    eq. 4, algorithm 1.
Code: none of the authors is known. The paper starts at random rates; here all start at ``lr``. A rate may become
    negative, as there. More steps than the paper's one share the rates.
"""

from torch import nn

from fewshot.learners.gradient.maml import MAML


def MetaSGD(
    backbone: nn.Module,
    way: int = 5,
    lr: float = 0.1,
    steps: int = 1,
    test_steps: int | None = None,
    first_order: bool = False,
    batch_norm: str = "query-batch",
    dim: int | None = None,
    seed: int = 0,
) -> MAML:
    """MAML with learned rates; ``lr`` is their initial value, the other options are those of `MAML`.

    Raises:
        FewShotError: If an option is out of range.
    """
    return MAML(backbone, way, lr, steps, test_steps, "all", "element", first_order, batch_norm, dim, seed)
