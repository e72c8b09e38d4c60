"""Damage to what a file says: a key or a value of a tree of lists and mappings, of the kind that JSON and YAML hold."""

import copy
import datetime
import math
from random import Random
from typing import Any

STRANGE: list[Any] = [
    None, True, False, 0, 1, -1, 2, 3, 10**6, 2**31, 2**63, -(2**63) - 1, 10**30, 0.0, -0.5, 0.5, 1e-320, 1e308, math.nan,
    math.inf, -math.inf, "", " ", "0", "1", "nan", "x", "ä", "\u2028", "a\nb", "\x00", "\ud83d", "../..", "/", ".", "none", "null",
    "x" * 300, [], [[]], [None], [0], [1, 2], [1, "a"], ["a", "a"], {}, {"": 0}, {"a": {"b": [1]}}, {"schema": 1},
    datetime.date(2026, 1, 1),
]  # fmt: skip


def altered(tree: Any, random: Random) -> Any:
    """A copy with one to three places changed: a value that is strange, a key that is gone, doubled or renamed, siblings exchanged."""
    tree = copy.deepcopy(tree)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return random.choice(STRANGE)
        _change(*random.choice(places), random)
    return tree


def _places(tree: Any) -> Any:
    """Every container with every key in it; deep ones come as often as shallow ones, long lists show their ends only."""
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree))) if isinstance(tree, list) else []
    for key in keys if len(keys) <= 40 else [*keys[:20], *keys[-20:]]:
        yield tree, key
        yield from _places(tree[key])


def _change(holder: Any, key: Any, random: Random) -> None:
    kind = random.randrange(7)
    if kind < 2:
        holder[key] = copy.deepcopy(random.choice(STRANGE))
    elif kind == 2:
        holder[key] = _near(holder[key], random)
    elif kind == 3:
        del holder[key]
    elif kind == 4:
        other = random.choice(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        holder[key], holder[other] = holder[other], holder[key]
    elif kind == 5 and isinstance(holder, dict):
        holder[random.choice([f"{key}x", str(key)[:-1], "", "schema", *map(str, holder)])] = holder.pop(key)
    else:
        _double(holder, key, random)


def _near(value: Any, random: Random) -> Any:
    """A value that is like the one there, and yet another: of another type, sign, size or depth."""
    if isinstance(value, bool) or value is None:
        return random.choice([not value, int(bool(value)), str(value)])
    if isinstance(value, (int, float)):
        return random.choice([-value, value + 1, value * 10, str(value), value + 0.5, [value], float(value), value - 1])
    if isinstance(value, str):
        return random.choice(
            [value[:-1], value + value, [value], value.upper(), value + " ", list(value[:9]), value[1:]]
        )
    if isinstance(value, list):
        return random.choice(
            [value[:-1], value[1:], value + value[:1], [value], value[::-1], dict(enumerate(value[:9]))]
        )
    if isinstance(value, dict):
        return random.choice([[value], list(value), list(value.values()), str(value)[:99], {**value, "x": 0}])
    return str(value)


def _double(holder: Any, key: Any, random: Random) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[key] = [holder[key]] * random.choice((1, 2, 50))
