"""Optimal transport: each row of the source goes to the mean of the target rows that a transport plan sends it to.

Paper: Courty, Flamary, Tuia and Rakotomamonjy, "Optimal Transport for Domain Adaptation", TPAMI 39 (2017), eqs. 6, 13
    and 14, and the class regulariser of Courty, Flamary and Tuia, "Domain Adaptation with Regularized Optimal Transport",
    ECML 2014, section 3.3 (p = 1/2).
Code: POT (github.com/PythonOT/POT) finds the plans, ``ot.emd`` and ``ot.sinkhorn``; its ``SinkhornLpl1Transport`` makes
    the rounds that are made here, yet not on logarithms, where small plans underflow. Costs are divided by the largest
    one here by default; there that is ``norm="max"``, and not the default.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Integer
from torch import Tensor

from fewshot.contract import Classifier, SupportSet
from fewshot.errors import EpisodeError, FewShotError
from fewshot.functional import class_membership, squared_distances
from fewshot.learners.adaptation.domains import keep_domain_options, on_domains
from fewshot.learners.adaptation.heads import is_transductive, keep_head, on_mapped
from fewshot.plumbing.names import need
from fewshot.plumbing.number_checks import keep_finite_numbers, keep_whole_numbers, truth_value

PLANS = ("emd", "sinkhorn", "sinkhorn-classes")
FLOOR = 1e-3  # added to the mass of a class before its root, as ECML 2014 and POT have it
TOLERANCE = 1e-6  # of the marginals, in norm
MISSED = 1e-2  # of a row's mass, that a plan may lack


@dataclass(frozen=True)
class OptimalTransport:
    """The head learns from rows that were moved: ``x_i`` becomes ``Σ_j P_ij t_j / Σ_j P_ij``; the target stays.

    P has the least ``Σ P_ij cost_ij``, plus ``entropy · Σ P_ij log P_ij`` for both Sinkhorn plans, plus
    ``classes · Σ_j Σ_c (mass of class c in t_j)^½`` for the last, under equal masses of all rows of a domain. Costs
    are squared distances.

    Attributes:
        plan: ``"emd"``, ``"sinkhorn"`` or ``"sinkhorn-classes"``.
        entropy: Weight of the negative entropy; more of it blurs where rows go.
        classes: Weight of the class regulariser, which wants each row of the target to get one class.
        rounds: Of linearising that regulariser.
        unit_cost: Whether costs are divided by the largest one, so that the weights have no unit.
        steps: Most updates of a Sinkhorn plan.
        logarithms: Whether Sinkhorn's scales are held as logarithms; without, they are quicker and may underflow.
        scaling: Steps before; see `fewshot.learners.adaptation.scaling`.
        adapt_to: Rows of the target that count: ``"pool"``, or ``"queries"`` of a call.
        head: A learner on rows, or the name of one.

    Raises:
        FewShotError: If an option is not known, or a number out of range.
    """

    plan: str = "sinkhorn-classes"
    entropy: float = 0.1
    classes: float = 0.1
    rounds: int = 10
    unit_cost: bool = True
    steps: int = 1000
    logarithms: bool = True
    scaling: str | Sequence[str] = ()
    adapt_to: str = "pool"
    head: Any = "k-nearest-neighbours"

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise FewShotError(f"plan must be one of {', '.join(PLANS)}, got {self.plan!r}")
        keep_finite_numbers(self, entropy="(0, inf)", classes="[0, inf)")
        keep_whole_numbers(self, rounds=1, steps=1)
        for name in ("unit_cost", "logarithms"):
            object.__setattr__(self, name, truth_value(name, getattr(self, name)))
        keep_domain_options(self)
        keep_head(self)

    @property
    def transductive(self) -> bool:
        """Whether the other queries matter."""
        return is_transductive(self)

    @on_domains
    def adapt(self, support: SupportSet) -> Classifier:
        """Find the plan, and let the head adapt to the moved source.

        Raises:
            MissingExtraError: If POT is not installed.
            EpisodeError: If a Sinkhorn plan does not converge.
        """
        target = cast(Tensor, support.unlabelled)
        cost = squared_distances(support.x, target)
        largest = float(cost.max())
        plan = self._plan(cost / largest if self.unit_cost and largest > 0 else cost, support.y, support.n_way)
        moved = plan @ target / plan.sum(1, keepdim=True)

        def of_source(rows: Tensor) -> Tensor:
            return moved if rows is support.x else moved_as_nearest(rows, support.x, moved)

        return on_mapped(self.head, support, of_source, lambda rows: rows)

    def _plan(self, cost: Float[Tensor, "s t"], y: Integer[Tensor, " s"], n_way: int) -> Float[Tensor, "s t"]:
        if self.plan == "emd":
            ot = need("ot", "transport")
            return torch.from_numpy(ot.emd([], [], cost.cpu().numpy())).to(cost)
        plan, scales = self._sinkhorn(cost, None)
        member = class_membership(y, n_way, cost.dtype)
        for _ in range(self.rounds - 1 if self.plan == "sinkhorn-classes" else 0):
            mass = member.mT @ plan  # (n_way, t)
            slope = member @ (0.5 * (mass + FLOOR).rsqrt())  # of the regulariser, by P
            plan, scales = self._sinkhorn(cost + self.classes * slope, scales)
        return plan

    def _sinkhorn(self, cost: Float[Tensor, "s t"], start: Any) -> tuple[Float[Tensor, "s t"], Any]:
        """The plan, and logarithms of its scales, from which the next round starts."""
        ot = need("ot", "transport")
        name = "sinkhorn_log" if self.logarithms else "sinkhorn"
        options = {"method": name, "numItermax": self.steps, "stopThr": TOLERANCE, "warn": False, "log": True}
        with np.errstate(over="ignore"):  # of the scales themselves, which nobody needs
            found, log = ot.sinkhorn([], [], cost.cpu().numpy(), self.entropy, warmstart=start, **options)
        plan = torch.from_numpy(found).to(cost)
        missed = max(float((plan.sum(d) * plan.shape[1 - d] - 1).abs().max()) for d in (0, 1))
        if not missed <= MISSED:
            raise EpisodeError(
                f"a Sinkhorn plan must reach the mass of every row, got one that is {missed:.2g} of a row's mass away after "
                f"{self.steps} steps; raise steps or entropy, or keep logarithms"
            )
        return plan, (log["log_u"], log["log_v"]) if self.logarithms else None


def moved_as_nearest(
    rows: Float[Tensor, "n dim"], source: Float[Tensor, "s dim"], moved: Float[Tensor, "s dim"]
) -> Float[Tensor, "n dim"]:
    """Further rows of the source, each moved as far as the nearest one that the plan knows.

    Ferradans, Papadakis, Peyré and Aujol, "Regularized Discrete Optimal Transport", SIAM J. Imaging Sciences 7 (2014).
    """
    near = squared_distances(rows, source).argmin(1)
    return rows + (moved - source)[near]
