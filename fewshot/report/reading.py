"""Sentences for people who were not there: what an interval speaks of, what the words mean."""

from collections.abc import Iterable

from fewshot.statistics.interval import CLOSED, DRAWS, NEW_CLASSES, OPEN, TRAINING_RUNS

IMAGINED: dict[str, str] = {
    CLOSED: "other episodes drawn from the very same items. It says nothing of new items or new classes, and it shrinks "
    "with every further episode, however few items there are",
    DRAWS: "other examples to learn from, with the same test items asked",
    OPEN: "other items of the same classes",
    NEW_CLASSES: "other classes of the same kind; this is the one that a claim about new classes needs",
    TRAINING_RUNS: "the training run again with another seed",
}
WORDS: dict[str, str] = {
    "episode": "a small classification problem of its own: some classes are drawn, some labelled examples of each, and some queries",
    "way": "how many classes an episode has; with N ways, guessing is right in 1 of N",
    "shot": "how many labelled examples of each class a method gets",
    "query": "an item that has to be classified; its label is kept from the method",
    "transductive": "the method sees all queries of an episode at once, so that an answer may depend on the other queries; "
    "not to be set beside methods that answer one by one",
    "batch norm": "where a network takes the statistics of its normalisation from: running averages of training, the examples "
    "of the episode, or all its queries at once, which makes a method transductive",
    "manifest": "a line that names a list of episodes; results are paired only where it is the same",
    "interval": "the range that would hold the true mean in the stated share of repetitions, where a repetition draws anew "
    "what the interval is for",
}
ZERO_SHOT_WORDS: dict[str, str] = {
    "zero-shot": "a method classifies into classes of which it has seen no example, by descriptions of them",
    "unseen and seen": "classes without and with examples; where both compete, a method is asked about items of both",
    "harmonic": "2 U S / (U + S) of unseen accuracy U and seen accuracy S; high only where both are",
    "AUSUC": "area under the curve of seen against unseen accuracy, over all handicaps gamma of the seen classes",
}


def how_to_read(kinds: Iterable[tuple[float, str]]) -> list[str]:
    """One sentence for each kind of interval, a level and an estimand; the first is the one behind the accuracies."""
    first, *others = dict.fromkeys(kinds)
    said = f"The figure after ±, or the two in brackets, is a {first[0]:.0%} interval for {first[1]}: {_imagined(first[1])}."
    marked = [f"Where it says “{e}”, it is a {level:.0%} interval for {e}: {_imagined(e)}." for level, e in others]
    return [said, *marked]


def _imagined(estimand: str) -> str:
    return f"what would come out with {IMAGINED.get(estimand, estimand)}"
