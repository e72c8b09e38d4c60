"""Rules of choice by name, and which of them wants less of its number."""

from collections.abc import Callable

from fewshot.errors import StatisticsError
from fewshot.plumbing.names import unknown
from fewshot.statistics.choosing.deep_embedded_validation import deep_embedded_validation
from fewshot.statistics.choosing.entropy import entropy
from fewshot.statistics.choosing.information_maximisation import information_maximisation
from fewshot.statistics.choosing.soft_neighbourhood_density import soft_neighbourhood_density
from fewshot.statistics.choosing.source_risk import source_risk
from fewshot.statistics.choosing.weighted_risk import weighted_risk

ON_TARGET: dict[str, Callable[..., float]] = {
    "entropy": entropy,
    "information maximisation": information_maximisation,
    "soft neighbourhood density": soft_neighbourhood_density,
}
"""Of probabilities of target rows."""
ON_SOURCE: dict[str, Callable[..., float]] = {
    "source risk": source_risk,
    "importance-weighted risk": weighted_risk,
    "deep embedded validation": deep_embedded_validation,
}
"""Of losses of held-out source rows, the last two with their weights."""
LOWER_IS_BETTER = ("entropy", *ON_SOURCE)
BY_LABELS = ("oracle", "target accuracy", "target risk")


def find_rule(name: str) -> Callable[..., float]:
    """The function of a rule.

    Raises:
        StatisticsError: If the name is one of a choice by labels of the target.
        UnknownNameError: If there is no such rule; names the nearest match.
    """
    if name in BY_LABELS:
        raise StatisticsError(
            f"a choice by labels of the target is refused, for nobody has them where it is made, got '{name}'; take one of "
            f"{', '.join(ON_TARGET | ON_SOURCE)}"
        )
    rules = ON_TARGET | ON_SOURCE
    if name not in rules:
        raise unknown("rule of choice", name, list(rules))
    return rules[name]


def best(name: str, values: dict[str, float]) -> str:
    """Which candidate a rule takes: the first of those with the best number.

    Args:
        name: Of the rule.
        values: Its number for each candidate.

    Raises:
        StatisticsError: If the rule looks at labels of the target, or there is no candidate.
        UnknownNameError: If there is no such rule.
    """
    find_rule(name)
    if not values:
        raise StatisticsError("a choice needs a candidate, got none")
    return (min if name in LOWER_IS_BETTER else max)(values, key=lambda key: values[key])
