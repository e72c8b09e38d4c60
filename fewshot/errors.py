"""Every error that the toolkit raises on purpose, in one tree.

A caller who wants to catch them all catches ``FewShotError``; the command line
turns any of them into one sentence and exit code 2::

    FewShotError (ValueError)
    ├── EpisodeError            an episode or its specification cannot be drawn or used
    ├── ShapeError              arrays do not fit each other
    ├── NotFittedError          a learner needs base classes that it has not seen
    ├── LeakageError            a claim about what was seen or used does not hold
    ├── StatisticsError         the data cannot give the interval or test
    ├── DataError               files or arrays are not what they should be
    │   └── MissingDataError    nothing is there: says what to put where
    ├── UnknownNameError        no such dataset, learner, backbone or recipe
    ├── MissingExtraError       an optional package is absent: names the extra
    ├── RecipeError             a recipe file is wrong: names file, line and key
    ├── RecordError             a record cannot be read, or two cannot be compared
    └── CheckpointError         a checkpoint does not belong to this run

What is answered all the same, but not as a user may expect, comes with a ``FewShotWarning``.
"""

MOST_LETTERS = 2000


class FewShotError(ValueError):
    """Base of all errors raised on purpose by this package.

    As text it is one line of letters that every terminal shows, whatever a file or a value holds that it quotes.
    """

    def __str__(self) -> str:
        text = "".join(letter if letter.isprintable() else _escaped(letter) for letter in super().__str__())
        if len(text) <= MOST_LETTERS:
            return text
        return f"{text[: MOST_LETTERS * 3 // 4]} … {text[-MOST_LETTERS // 5 :]}"  # the remedy is at the end


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


class EpisodeError(FewShotError):
    """An episode or its specification cannot be drawn or used."""


class ShapeError(FewShotError):
    """Arrays do not fit each other."""


class NotFittedError(FewShotError):
    """A learner needs base classes that it has not seen."""


class LeakageError(FewShotError):
    """A claim about what a learner saw or uses does not hold."""


class StatisticsError(FewShotError):
    """The data cannot give the interval or the test."""


class DataError(FewShotError):
    """Files or arrays are not what they should be."""


class MissingDataError(DataError):
    """Data are absent; the message says what to put where."""


class UnknownNameError(FewShotError):
    """No dataset, learner, backbone or recipe has that name."""


class MissingExtraError(FewShotError):
    """An optional package is absent; the message names the extra that brings it."""


class RecipeError(FewShotError):
    """A recipe file is wrong; the message names the file, the line and the key."""


class RecordError(FewShotError):
    """A record cannot be read, or two records cannot be compared."""


class CheckpointError(FewShotError):
    """A checkpoint does not belong to the run that wants to resume from it."""


class FewShotWarning(UserWarning):
    """Something was left out, cut or rescaled that the user may have wanted to keep; the answer still holds for the rest."""
