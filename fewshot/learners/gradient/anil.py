"""ANIL, almost no inner loop: MAML whose inner steps move the head only.

Paper: Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature Reuse? Towards Understanding the Effectiveness of
    MAML", ICLR 2020, section 4.
Code: none of the authors is known. Rates and batch norm are as in `fewshot.learners.gradient.maml`.
"""

from torch import nn

from fewshot.learners.gradient.maml import MAML


def ANIL(
    backbone: nn.Module,
    way: int = 5,
    lr: float = 2.0,
    steps: int = 1,
    test_steps: int | None = None,
    first_order: bool = False,
    batch_norm: str = "query-batch",
    dim: int | None = None,
    seed: int = 0,
) -> MAML:
    """MAML that adapts its linear head and reuses the features; options are those of `MAML`.

    Raises:
        FewShotError: If an option is out of range.
    """
    return MAML(backbone, way, lr, steps, test_steps, "head", "fixed", first_order, batch_norm, dim, seed)
