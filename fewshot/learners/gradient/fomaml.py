"""First-order MAML: MAML whose inner steps count as constant shifts in the outer gradient.

Paper: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017,
    section 5.2; the name is of Nichol, Achiam and Schulman, "On First-Order Meta-Learning Algorithms", 2018, section 2.
Code: github.com/cbfinn/maml, option ``stop_grad``. Differences are those of `fewshot.learners.gradient.maml`.
"""

from torch import nn

from fewshot.learners.gradient.maml import MAML


def FOMAML(
    backbone: nn.Module,
    way: int = 5,
    lr: float = 2.0,
    steps: int = 1,
    test_steps: int | None = None,
    batch_norm: str = "query-batch",
    dim: int | None = None,
    seed: int = 0,
) -> MAML:
    """MAML without derivatives of the inner gradients; options are those of `MAML`.

    Raises:
        FewShotError: If an option is out of range.
    """
    return MAML(backbone, way, lr, steps, test_steps, first_order=True, batch_norm=batch_norm, dim=dim, seed=seed)
