"""Terms by name, as recipes write them."""

import inspect
from typing import Any

from fewshot.errors import FewShotError
from fewshot.plumbing.names import unknown
from fewshot.training.terms.cdan import CDAN
from fewshot.training.terms.cross_entropy import CrossEntropy
from fewshot.training.terms.dann import DANN
from fewshot.training.terms.deep_coral import DeepCORAL
from fewshot.training.terms.mk_mmd import MKMMD
from fewshot.training.terms.rotation import Rotation
from fewshot.training.terms.step import Term

TERMS: dict[str, Any] = {
    "cdan": CDAN,
    "cross-entropy": CrossEntropy,
    "dann": DANN,
    "deep-coral": DeepCORAL,
    "mk-mmd": MKMMD,
    "rotation": Rotation,
}


def make_term(what: Any, dim: int, classes: int) -> Term:
    """A term by name, or by name with its weight or all of its options, as a recipe writes them.

    Args:
        what: ``"cross-entropy"``, ``{"rotation": 0.5}`` or ``{"rotation": {"weight": 0.5}}``.
        dim: Number of features, for terms with weights of their own.
        classes: Number of base classes.

    Raises:
        UnknownNameError: If nobody knows the name.
        FewShotError: If it is none of these.
    """
    name, options = named_term(what)
    taken = inspect.signature(TERMS[name]).parameters
    made: Term = TERMS[name](**{k: v for k, v in (("dim", dim), ("classes", classes)) if k in taken}, **options)
    return made


def named_term(what: Any) -> tuple[str, dict[str, Any]]:
    """Name and options of a term as a recipe writes it; nothing is made yet.

    Raises:
        UnknownNameError: If nobody knows the name.
        FewShotError: If it is no name with its weight or options, or the term has no such option.
    """
    named = {what: {}} if isinstance(what, str) else what
    if not (isinstance(named, dict) and len(named) == 1):
        raise FewShotError(f"a term must be a name, or a name with its weight or options, got {what!r}")
    ((name, given),) = named.items()
    if name not in TERMS:
        raise unknown("term", name, TERMS)
    options = given if isinstance(given, dict) else {"weight": given}
    free = [key for key in inspect.signature(TERMS[name]).parameters if key not in ("dim", "classes")]
    if wrong := sorted(set(options) - set(free)):
        raise FewShotError(f"options of the term '{name}' are {', '.join(free)}, got '{wrong[0]}'")
    return name, options
