"""Numbers that users give: whole ones and others, of Python, NumPy or torch, checked once and kept as Python's own."""

import math
import operator
from typing import Any

import numpy as np

from fewshot.errors import FewShotError

MOST_SEED = 2**63 - 1


def whole_number(
    name: str, value: Any, least: int | None = None, most: int | None = None, error: type[FewShotError] = FewShotError
) -> int:
    """A whole number as an ``int``; those of NumPy and torch count, truth values and floats do not.

    Args:
        name: What the number is called, for the message.
        value: What was given.
        least: Smallest value that is taken; any when left out.
        most: Largest value that is taken; any when left out.
        error: What is raised.

    Raises:
        FewShotError: If it is no whole number, or out of range.

    Example:
        >>> whole_number("k", np.int64(3), 1)
        3
    """
    number = _index(value)
    if number is not None and _inside(number, least, most):
        return number
    given = plain(value)
    whole = isinstance(given, float) and given.is_integer() and _inside(given, least, most)  # 1e3, or a quotient
    remedy = f"; write {int(given)}" if whole else ""
    raise error(f"{name} must be a whole number{_range(least, most)}, got {given!r}{remedy}")


def seed_number(value: Any, error: type[FewShotError] = FewShotError) -> int:
    """A seed: a whole number in 0..2^63-1.

    Raises:
        FewShotError: If it is something else, such as None.
    """
    return whole_number("seed", value, 0, MOST_SEED, error)


def keep_whole_numbers(owner: Any, **least: int) -> None:
    """Check attributes of an object, a frozen one too, and keep them as ``int``.

    Args:
        owner: Has the attributes.
        least: Smallest value of each.

    Raises:
        FewShotError: If one is no whole number, or smaller.
    """
    for name, bound in least.items():
        object.__setattr__(owner, name, whole_number(name, getattr(owner, name), bound))


def keep_finite_numbers(owner: Any, **intervals: str) -> None:
    """Check attributes of an object, a frozen one too, and keep them as ``float``.

    Args:
        owner: Has the attributes.
        intervals: Where each must lie, as ``"[0, 1)"``.

    Raises:
        FewShotError: If one is no finite number, or lies outside.
    """
    for name, interval in intervals.items():
        object.__setattr__(owner, name, finite_number(name, getattr(owner, name), interval))


def finite_number(
    name: str, value: Any, interval: str = "(-inf, inf)", error: type[FewShotError] = FewShotError
) -> float:
    """A finite number as a ``float``; those of NumPy and torch count, truth values and texts do not.

    Args:
        name: What the number is called, for the message.
        value: What was given.
        interval: Where it must lie, as ``"[0, 1)"``.
        error: What is raised.

    Raises:
        FewShotError: If it is no number, infinite or NaN, or out of range.

    Example:
        >>> finite_number("momentum", np.float32(0.5), "[0, 1)")
        0.5
    """
    number = _float(value)
    low, high = (float(end) for end in interval[1:-1].split(","))
    inside = low <= number <= high and (number != low or interval[0] == "[") and (number != high or interval[-1] == "]")
    if not (math.isfinite(number) and inside):
        raise error(f"{name} must be a finite number{_place(interval, low, high)}, got {plain(value)!r}")
    return number


def truth_value(name: str, value: Any, error: type[FewShotError] = FewShotError) -> bool:
    """A truth value as a ``bool``; NumPy's count.

    Raises:
        FewShotError: If it is something else.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise error(f"{name} must be True or False, got {plain(value)!r}")
    return bool(value)


def plain(value: Any) -> Any:
    """A scalar of NumPy as the value of Python that it stands for; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def _index(value: Any) -> int | None:
    if isinstance(value, (bool, np.bool_)) or "bool" in str(getattr(value, "dtype", "")):
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _float(value: Any) -> float:
    if isinstance(value, (bool, np.bool_, str, bytes)) or not hasattr(value, "__float__"):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # such as an array of two numbers
        return math.nan


def _inside(number: int | float, least: int | None, most: int | None) -> bool:
    return (least is None or number >= least) and (most is None or number <= most)


def _range(least: int | None, most: int | None) -> str:
    if most is not None:
        return f" in {least}..{'2^63-1' if most == MOST_SEED else most}"
    return "" if least is None else f" of at least {least}"


def _place(interval: str, low: float, high: float) -> str:
    if math.isfinite(high):
        return f" in {interval}"
    if not math.isfinite(low):
        return ""
    return f" of at least {low:g}" if interval[0] == "[" else f" above {low:g}"
