"""The border to files: what is damaged becomes one sentence, and what is read has the form of a model.

Libraries that read files of others raise whatever their authors did not think of. So every exception of theirs is turned here, and only
calls of libraries stand in the block: a fault of our own would be hidden in it.
"""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fewshot.errors import DataError, FewShotError


@contextmanager
def in_one_sentence(needed: str, remedy: str, error: type[FewShotError] = DataError) -> Iterator[None]:
    """Turns every exception of a library into one sentence, and keeps its warnings to itself.

    Args:
        needed: What must hold: ``"'a.npz' must be a whole .npz file"``.
        remedy: What to do.
        error: What is raised.

    Raises:
        FewShotError: As ``error``, for any exception in the block but those of this package.

    Example:
        >>> with in_one_sentence("'a.json' must be JSON", "save it again"):
        ...     [][1]
        Traceback (most recent call last):
        fewshot.errors.DataError: 'a.json' must be JSON, got: list index out of range; save it again
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except FewShotError:
        raise
    except Exception as found:
        raise error(f"{needed}, got: {reason(found)}; {remedy}") from None


def reason(found: Exception) -> str:
    """What an exception says in its first line; its name where it says nothing, or a key only."""
    lines = str(found).strip().splitlines()
    if isinstance(found, KeyError):
        return f"no {found}"
    return lines[0] if lines else type(found).__name__


def require_unicode(what: str, names: Iterable[Any], error: type[FewShotError] = DataError) -> None:
    """Let texts pass that can be written: halves of a letter, as broken escapes hold them, and numbers of no letter cannot.

    Args:
        what: They are, for the message.
        names: Texts; what is none passes.
        error: What is raised.

    Raises:
        FewShotError: As ``error``, if one is no Unicode text.
    """
    for name in names:
        if isinstance(name, str) and not _is_unicode(name):
            raise error(f"{what} must be Unicode text, got {name!a}; write the letters themselves")


def _is_unicode(text: str) -> bool:
    try:
        return text.encode().decode() == text  # numbers that an array takes for letters may be beyond the last one
    except UnicodeError:
        return False


@cache
def _adapter(form: Any) -> TypeAdapter:
    return TypeAdapter(form)


def of_form(form: Any, content: Any, needed: str, remedy: str, error: type[FewShotError] = DataError) -> Any:
    """The content of a file as a model, or as another type that pydantic knows.

    Args:
        form: The model or type.
        content: What was read.
        needed: What must hold.
        remedy: What to do.
        error: What is raised.

    Raises:
        FewShotError: As ``error``, with the place in the content and what is wrong there.

    Example:
        >>> of_form(list[int], [1, "x"], "'a.json' must hold whole numbers", "save it again")
        Traceback (most recent call last):
        fewshot.errors.DataError: 'a.json' must hold whole numbers, got at '1': Input should be a valid integer, unable to parse string as an integer; save it again
    """
    try:
        return _adapter(form).validate_python(content)
    except ValidationError as found:
        first = found.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise error(f"{needed}, got at '{place}': {first['msg'].removeprefix('Value error, ')}; {remedy}") from None
    except UnicodeEncodeError as found:  # pydantic's own, at half a letter
        raise error(
            f"{needed}, got text that is not Unicode, {found.object[found.start : found.end]!a}; {remedy}"
        ) from None
