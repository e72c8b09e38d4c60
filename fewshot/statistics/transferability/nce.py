"""NCE: the negative conditional entropy of the target's labels, given the classes that a source classifier answers.

Paper: Tran, Nguyen and Hassner, "Transferability and Hardness of Supervised Classification Tasks", ICCV 2019, eq. 9
    (https://arxiv.org/abs/1908.08142).
"""

import numpy as np
from jaxtyping import Integer

from fewshot.statistics.transferability.rows import class_places


def negative_conditional_entropy(answers: Integer[np.ndarray, " rows"], labels: Integer[np.ndarray, " rows"]) -> float:
    """``-H(label | answer)`` in nats; higher is better, 0 is the most.

    Args:
        answers: Source class of each row of the target.
        labels: Of the target.

    Raises:
        StatisticsError: If answers and labels differ in number, or the labels are of fewer than two classes.
    """
    answers = np.asarray(answers)
    places = class_places(labels, len(answers))
    found, columns = np.unique(answers, return_inverse=True)
    counts = np.zeros((places.max() + 1, len(found)))
    np.add.at(counts, (places, columns), 1)
    given = counts / counts.sum(0)
    return float((counts * np.log(np.where(given > 0, given, 1))).sum() / len(answers))
