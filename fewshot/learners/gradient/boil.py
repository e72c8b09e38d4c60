"""BOIL, body only in the inner loop: MAML whose head stays while the features change.

Paper: Oh, Yoo, Kim and Yun, "BOIL: Towards Representation Change for Few-shot Learning", ICLR 2021, section 3.
Code: github.com/jhoon-oh/BOIL, ``main.py`` with a classifier step of 0 and an extractor step of 0.5 on the mean loss.
    Batch norm by the query batch, as there; its scale and shift belong to the body.
"""

from torch import nn

from fewshot.learners.gradient.maml import MAML


def BOIL(
    backbone: nn.Module,
    way: int = 5,
    lr: float = 0.5,
    steps: int = 1,
    test_steps: int | None = None,
    first_order: bool = False,
    batch_norm: str = "query-batch",
    dim: int | None = None,
    seed: int = 0,
) -> MAML:
    """MAML that adapts its backbone and keeps the head; options are those of `MAML`.

    Raises:
        FewShotError: If an option is out of range, or the backbone has no parameters.
    """
    return MAML(backbone, way, lr, steps, test_steps, "body", "fixed", first_order, batch_norm, dim, seed)
