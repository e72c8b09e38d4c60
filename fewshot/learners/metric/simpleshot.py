"""SimpleShot: nearest class mean of features that are centred on the base classes and have unit length.

Paper: Wang, Chao, Weinberger and van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification
    for Few-Shot Learning", arXiv:1911.04623, section 3.
Code: github.com/mileyan/simple_shot, ``src/train.py``, ``metric_class_type``. No intended difference: a class mean
    is taken after the transform and not normalised again, and the base mean is over items, not over classes.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet, on_features
from fewshot.errors import FewShotError, NotFittedError
from fewshot.functional import class_means, squared_distances


@dataclass(frozen=True)
class SimpleShot:
    """Scores are −‖t(z) − c_k‖² to the mean c_k of the transformed examples of each class.

    The paper names the class whose mean is nearest and gives no probabilities, so scores only rank; squaring the
    distance leaves the ranking as it is. With one example a class this is the nearest neighbour.

    Attributes:
        transform: ``"UN"`` leaves features as they are, ``"L2N"`` gives them unit length, ``"CL2N"`` centres them
            on the base classes first.
        centre: Mean feature of the base classes, which `with_base` finds; only CL2N needs it.

    Raises:
        FewShotError: If the transform is none of the three.
    """

    transform: str = "CL2N"
    centre: Float[Tensor, " dim"] | None = None

    scores = "rank"

    def __post_init__(self) -> None:
        if self.transform not in ("UN", "L2N", "CL2N"):
            raise FewShotError(f"transform must be 'UN', 'L2N' or 'CL2N', got '{self.transform}'")

    def with_base(self, base: SupportSet) -> "SimpleShot":
        """The same learner with the mean over all items of the base classes."""
        return replace(self, centre=base.x.flatten(0, -2).mean(0))

    @on_features
    def adapt(self, support: SupportSet) -> Classifier:
        """Average the transformed examples of each class; classify by distance to the averages.

        Raises:
            NotFittedError: If CL2N has seen no base classes.
            EpisodeError: If a class has no example.
        """
        x = self._moved(support.x)
        if self.transform == "UN":
            means = class_means(x, support.y, support.n_way)  # (e, n_way, dim)
            return lambda query: -squared_distances(query, means)  # (e, q, n_way)
        unit_means = class_means(normalize(x, dim=-1), support.y, support.n_way)
        return lambda query: -unit_distances(self._moved(query), unit_means)

    def _moved(self, z: Float[Tensor, "*e n dim"]) -> Float[Tensor, "*e n dim"]:
        if self.transform != "CL2N":
            return z
        if self.centre is None:
            raise NotFittedError(
                "SimpleShot with CL2N needs the mean of the base classes, got no base classes; "
                "call learner.with_base(base) first, or choose transform='L2N', which needs none"
            )
        return z - self.centre.to(z)


def unit_distances(z: Float[Tensor, "*e q dim"], c: Float[Tensor, "*e k dim"]) -> Float[Tensor, "*e q k"]:
    """Squared distance of z / ‖z‖ to every row of c: 1 - 2 z·c / ‖z‖ + ‖c‖², which needs no copy of z."""
    length: Tensor = torch.linalg.vector_norm(z, dim=-1, keepdim=True)
    cosine = z @ c.mT / length.clamp(min=1e-12)  # a row of zeros stays zero, as in torch's normalize
    return (length.sign() - 2 * cosine + c.square().sum(-1).unsqueeze(-2)).clamp(min=0)
