"""SimpleShot: nearest class mean of features that are centred on the base classes and have unit length.

Paper: Wang, Chao, Weinberger and van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification
    for Few-Shot Learning", arXiv:1911.04623, section 3.
Code: github.com/mileyan/simple_shot, ``src/train.py``, ``metric_class_type``. No intended difference: a class mean
    is taken after the transform and not normalised again, and the base mean is over items, not over classes.
"""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from fewshot.contract import Classifier, SupportSet
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

    def adapt(self, support: SupportSet) -> Classifier:
        """Average the transformed examples of each class; classify by distance to the averages.

        Raises:
            NotFittedError: If CL2N has seen no base classes.
            EpisodeError: If a class has no example.
        """
        means = class_means(self._transformed(support.x), support.y, support.n_way)  # (e, n_way, dim)
        return lambda query: -squared_distances(self._transformed(query), means)  # (e, q, n_way)

    def _transformed(self, z: Float[Tensor, "*e n dim"]) -> Float[Tensor, "*e n dim"]:
        if self.transform == "UN":
            return z
        if self.transform == "L2N":
            return normalize(z, dim=-1)
        if self.centre is None:
            raise NotFittedError(
                "SimpleShot with CL2N needs the mean of the base classes, got no base classes; "
                "call learner.with_base(base) first, or choose transform='L2N', which needs none"
            )
        return normalize(z - self.centre.to(z), dim=-1)
