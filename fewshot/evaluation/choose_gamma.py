"""What scores of seen classes lose: γ of calibrated stacking, chosen on validation classes.

Paper: Chao et al., "An Empirical Study and Analysis of Generalized Zero-Shot Learning for Object Recognition in the Wild",
    ECCV 2016.
"""

from typing import Any

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.datasets.seen_unseen import with_choosing
from fewshot.evaluation.class_scores import joint_answers, teach
from fewshot.statistics.per_class import harmonic_mean
from fewshot.statistics.stacking import curve
from fewshot.tasks.parts import TEST, Parts, require_no_test


def choose_gamma(learner: Any, data: Collection, parts: Parts | None, test: Parts = TEST) -> tuple[float, str]:
    """The γ with the best harmonic mean on validation classes against held-out items of seen ones, and where it comes from.

    Args:
        learner: On features; it learns from ``parts.base`` here.
        data: Features, class descriptors and splits.
        parts: Splits without any test class or item; None for no stacking.
        test: Splits that are judged later.

    Raises:
        LeakageError: If an item or an unseen class of the test would choose.
    """
    if parts is None:
        return 0.0, "no stacking"
    data = with_choosing(data, parts.named().values(), test.base)
    require_no_test("gamma", data, parts, test)
    found = curve(joint_answers(teach(learner, data, parts), data, parts))
    best = float(np.max(harmonic_mean(found.unseen, found.seen)))
    return found.best_gamma(), f"best harmonic mean, {100 * best:.1f} %, of '{parts.unseen}' and '{parts.seen}'"
