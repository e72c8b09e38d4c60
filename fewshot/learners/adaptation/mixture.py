"""What KLIEP and uLSIF share: a mixture of Gaussians at rows of the target, and the widths that are tried for it."""

from typing import Any

from fewshot.learners.adaptation.domains import keep_domain_options
from fewshot.learners.adaptation.importance import keep_weighted_head
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers

WIDTHS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0)
"""To choose from, in median distances."""


def keep_mixture_options(learner: Any, *chosen: str) -> None:
    """Check the options of a learner whose weights are such a mixture, a frozen one too.

    Args:
        learner: Has ``centres``, ``head``, ``C``, ``scaling`` and ``adapt_to``.
        chosen: Names of numbers above 0 that are chosen where they are None.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """
    keep_whole_numbers(learner, centres=1)
    keep_finite_numbers(learner, **{name: "(0, inf)" for name in chosen if getattr(learner, name) is not None})
    keep_weighted_head(learner)
    keep_domain_options(learner)
