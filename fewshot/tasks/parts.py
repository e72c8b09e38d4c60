"""The splits that a zero-shot evaluation uses, and what must hold between them: no row, and no class, on two sides."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fewshot.datasets.collection import Collection
from fewshot.errors import DataError, LeakageError


@dataclass(frozen=True)
class Parts:
    """Names of the splits that an evaluation uses.

    Attributes:
        base: Items of seen classes, to learn from; all of these classes compete where ``seen`` is given. Empty for learners
            that need none, where unseen classes are evaluated by themselves.
        unseen: Items of classes that are not among them.
        seen: Held-out items of the seen classes; empty where unseen classes are evaluated by themselves.
        open: Items of no class that is known here, which shall be told from those of the unseen classes; or empty.
    """

    base: str = "trainval"
    unseen: str = "test"
    seen: str = ""
    open: str = ""

    def named(self) -> dict[str, str]:
        """Those that are given: what each is, and the name of its split."""
        known = {"base": self.base, "unseen": self.unseen, "seen": self.seen, "open": self.open}
        return {what: name for what, name in known.items() if name}


ALONE = Parts()
TEST, CHOOSE, CALIBRATE = Parts(seen="test-seen"), Parts("train", "val"), Parts("train-fit", "val", "train-held-out")
MAY_SHARE = {("seen", "open")}  # neither is learned from, and they are never compared with each other


def require_apart(data: Collection, parts: Parts) -> None:
    """Let parts pass only if no unseen class was learned from, every seen one was, and no item is in two of them.

    Raises:
        UnknownNameError: If there is no such split.
        DataError: If a split is empty, or seen classes shall compete and ``base`` does not say which they are.
        LeakageError: If a class or an item is on two sides.
    """
    rows = {what: data.rows_of(name) for what, name in parts.named().items()}
    for what, name in parts.named().items():
        if not len(rows[what]):
            raise DataError(f"the split '{name}' needs at least one item, got none; fill it, or name another one")
    classes = {what: set(np.unique(data.labels[of]).tolist()) for what, of in rows.items()}
    if parts.seen and not parts.base:
        raise DataError(
            "seen classes that compete must be named by the split base, got ''; Parts(base='trainval', ...)"
        )
    _require_classes(data, parts, classes)
    for one, other in combinations(rows, 2):
        both = np.intersect1d(rows[one], rows[other])
        if len(both) and (one, other) not in MAY_SHARE:
            names = f"'{getattr(parts, one)}' and '{getattr(parts, other)}'"
            raise LeakageError(
                f"{one} and {other} items must differ, got item {both[0]} in both {names}; take it out of one"
            )


def _require_classes(data: Collection, parts: Parts, classes: dict[str, set[int]]) -> None:
    learned, unseen = classes.get("base", set()), classes["unseen"]
    for wrong, sentence in (
        (learned & unseen, f"unseen classes must not be among those learned from, got {{}} in '{parts.base}' and '{parts.unseen}'"),
        (classes.get("seen", set()) - learned, f"seen classes must be among those of '{parts.base}', got {{}} in '{parts.seen}'"),
        (classes.get("open", set()) & unseen, f"open classes must not be among the unseen ones, got {{}} in '{parts.open}'"),
    ):  # fmt: skip
        if wrong:
            raise LeakageError(sentence.format(f"'{data.class_names[min(wrong)]}'"))


def require_no_test(what: str, data: Collection, parts: Parts, test: Parts) -> None:
    """Let parts choose something only if they hold no test item and no unseen class of the test, under whatever name.

    Args:
        what: Is chosen, for the message.
        data: Items and splits.
        parts: Splits that choose.
        test: Splits that are judged; those that the data lack are passed over.

    Raises:
        LeakageError: Names the item or the class.
    """
    remedy = "name splits within trainval"
    judged = {name for what, name in test.named().items() if what != "base" and name in data.splits}
    unseen = np.unique(data.labels[data.splits[test.unseen]] if test.unseen in judged else data.labels[:0])
    for name in parts.named().values():
        rows = data.rows_of(name)
        for other in sorted(judged):
            both = np.intersect1d(rows, data.splits[other])
            if len(both):
                raise LeakageError(
                    f"{what} must be chosen on validation classes, got item {both[0]} of '{other}' in '{name}'; {remedy}"
                )
        both = np.intersect1d(data.labels[rows], unseen)
        if len(both):
            raise LeakageError(
                f"{what} must be chosen on validation classes, got the test class '{data.class_names[both[0]]}' in '{name}'; "
                f"{remedy}"
            )
