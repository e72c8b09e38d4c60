"""Learners by name: the built-in ones, then those that other packages offer as entry points."""

import inspect
from typing import Any

from fewshot.errors import FewShotError
from fewshot.names import look_up

LEARNERS = {
    "logistic-regression": "fewshot.learners.logistic_regression:LogisticRegression",
    "modified-hausdorff": "fewshot.learners.modified_hausdorff:ModifiedHausdorff",
    "nearest-mean": "fewshot.learners.nearest_mean:NearestMean",
    "protonet": "fewshot.learners.protonet:ProtoNet",
}
FAMILIES = {  # what the list and the documentation group by
    "logistic-regression": "linear",
    "modified-hausdorff": "matching",
    "nearest-mean": "metric",
    "protonet": "metric",
}


def load_learner(name: str, **options: Any) -> Any:
    """A learner from its name in kebab case.

    Args:
        name: A key of ``LEARNERS``, or an entry point in the group ``fewshot.learners``.
        options: Fields of the learner; without them the paper's values hold.

    Raises:
        UnknownNameError: If nobody knows the name; names the nearest match.
        FewShotError: If the learner has no such option, or lacks one that it needs.

    Example:
        >>> load_learner("nearest-mean", metric="cosine")
        NearestMean(metric='cosine', temperature=1.0)
    """
    make = look_up("learner", name, LEARNERS, "fewshot.learners")
    _check_options(name, inspect.signature(make).parameters, options)
    return make(**options)


def _check_options(name: str, known: Any, options: dict[str, Any]) -> None:
    kinds = {parameter.kind for parameter in known.values()}
    wrong = sorted(set(options) - set(known)) if inspect.Parameter.VAR_KEYWORD not in kinds else []
    if wrong:
        raise FewShotError(f"options of learner '{name}' must be among {_list(known)}, got {_list(wrong)}")
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    needed = [k for k, p in known.items() if p.default is inspect.Parameter.empty and p.kind not in variadic]
    missing = [option for option in needed if option not in options]
    if missing:
        raise FewShotError(f"learner '{name}' needs {_list(missing)}, got {_list(options)}; pass it by name")


def _list(names: Any) -> str:
    return ", ".join(f"'{name}'" for name in names) or "no option"
