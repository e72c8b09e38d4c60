"""Deep CORAL: both domains are to have the same covariances.

Sun and Saenko, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV workshops 2016 (arXiv:1607.01719), equations 1 to 3. Code
of the authors: github.com/VisionLearningGroup/CORAL.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from fewshot.errors import FewShotError
from fewshot.training.terms.step import Step, Weight

LAYERS = ("logits", "features")


@dataclass(frozen=True)
class DeepCORAL:
    """``|C_s - C_t|² / (4 d²)`` by the Frobenius norm; 0 for equal covariances, lower is better.

    Attributes:
        weight: A number, or a function of the progress. The paper wants this term, at the end, about as large as the
            cross-entropy.
        layer: What is compared, ``"logits"`` as in the paper, or ``"features"``.

    Raises:
        FewShotError: If the layer is not known.
    """

    weight: Weight = 1.0
    layer: str = "logits"

    def __post_init__(self) -> None:
        if self.layer not in LAYERS:
            raise FewShotError(f"layer must be 'logits' or 'features', got {self.layer!r}")

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """Of both domains of the step.

        Raises:
            FewShotError: If there is no pool.
        """
        rows, n = step.both_logits() if self.layer == "logits" else step.both_features(), len(step.labels)
        return (rows[:n].T.cov() - rows[n:].T.cov()).square().sum() / (4 * rows.shape[1] ** 2)
