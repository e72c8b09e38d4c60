"""MK-MMD: the distance between the mean embeddings of both domains, by several Gaussian kernels.

Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML 2015 (arXiv:1502.02791), equations 1 to 4. Code of the
authors: github.com/thuml/Xlearn.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers
from fewshot.training.terms.step import Step, Weight


@dataclass(frozen=True)
class MKMMD:
    """Squared maximum mean discrepancy of the features, summed over kernels; 0 for equal samples, lower is better.

    Each kernel is ``exp(-|x - y|² / b)``; the bandwidths ``b`` are the mean squared distance of two rows of the step, times
    powers of ``factor`` around 1. Differences from the paper: kernels count alike, as in the authors' later code, instead
    of by a quadratic programme; all pairs are used, not those of linear time; one layer is compared, the features.

    Attributes:
        weight: A number, or a function of the progress.
        kernels: How many.
        factor: Quotient of two neighbouring bandwidths.

    Raises:
        FewShotError: If an option is out of range.
    """

    weight: Weight = 1.0
    kernels: int = 5
    factor: float = 2.0

    def __post_init__(self) -> None:
        keep_whole_numbers(self, kernels=1)
        keep_finite_numbers(self, factor="(0, inf)")

    def __call__(self, step: Step) -> Float[Tensor, ""]:
        """Of both domains of the step.

        Raises:
            FewShotError: If there is no pool.
        """
        rows, n = step.both_features(), len(step.features)
        squares = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist").square()  # exact zeros
        mean = squares.detach().sum() / (len(rows) * (len(rows) - 1))
        powers = torch.arange(self.kernels, device=rows.device) - self.kernels // 2
        bandwidths = (mean * self.factor ** powers.to(rows.dtype)).clamp_min(torch.finfo(rows.dtype).tiny)
        k = torch.exp(-squares / bandwidths[:, None, None]).sum(0)
        return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()
