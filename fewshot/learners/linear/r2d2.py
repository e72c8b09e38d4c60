"""R2-D2: ridge regression that is solved in closed form inside of training.

Paper: Bertinetto, Henriques, Torr and Vedaldi, "Meta-learning with Differentiable Closed-form Solvers",
    ICLR 2019, eqs. 4 to 8.
Code: github.com/bertinetto/r2d2, ``fewshots/models/r2d2.py`` and ``adjust.py``. As there, a column of ones
    stands for the bias. There, features and labels are divided by the root of the number of items, so that
    their penalty times that number is ours; the penalty is learned as a power there, by its logarithm here.
"""

import math

import torch
from torch import Tensor, nn

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError
from fewshot.functional import class_membership, require_every_class, require_finite
from fewshot.learners.linear.convex import linear, ridge


class R2D2(nn.Module):
    """Log-probabilities are ``scale · (z W) + bias`` with the ridge solution W; all three numbers are learned.

    Gradients flow through the solution to the support features.

    Args:
        penalty: λ to begin with.
        scale: α to begin with.
        bias: β to begin with; it is the same for all classes.

    Raises:
        FewShotError: If the penalty is not above 0.
    """

    def __init__(self, penalty: float = 1.0, scale: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        if not penalty > 0:
            raise FewShotError(f"penalty must be above 0, got {penalty}")
        self.log_penalty = nn.Parameter(torch.tensor(math.log(penalty)))
        self.scale = nn.Parameter(torch.tensor(scale))
        self.bias = nn.Parameter(torch.tensor(bias))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Solve for the weights of all episodes in float64; the scores have the type of the support.

        Raises:
            EpisodeError: If a class has no example, or a feature is not finite.
        """
        require_every_class(support.y, support.n_way)
        require_finite(support.x)
        x, target = _with_ones(support.x.double()), class_membership(support.y, support.n_way, torch.float64)
        weights = ridge(x, target, self.log_penalty.double().exp())
        nearness = linear(weights[..., :-1, :], weights[..., -1:, :], support.x.mean(-2, keepdim=True))
        return lambda query: self.scale.to(query) * nearness(query) + self.bias.to(query)


def _with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)
