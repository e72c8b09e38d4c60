"""Texts as an array: each has a word, and no half of a character."""

from typing import Any

import numpy as np

from fewshot.datasets.formats.containers import shown
from fewshot.errors import DataError


def as_texts(items: list[Any]) -> np.ndarray:
    """Texts as a StringDType array.

    Raises:
        DataError: If an item is no text, has no word, or holds half a character; its row is named.
    """
    for row, item in enumerate(items):
        if not isinstance(item, str):
            raise DataError(f"every text must be a string, got {shown(item)} in row {row}; drop or convert it")
        if not item.strip():
            raise DataError(f"every text needs a word, got {shown(item)} in row {row}; drop that item")
        if not is_unicode(item):
            raise DataError(f"every text must be whole, got half a character in {shown(item)} in row {row}; repair it")
    return np.array(items, np.dtypes.StringDType())


def is_unicode(text: str) -> bool:
    """Whether a text has no half of a character (of an emoji, say), which no file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def decoded_text(content: bytes, row: int) -> str:
    """A text from its bytes.

    Raises:
        DataError: If they are no UTF-8; the row is named.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"every text must be in UTF-8, got {shown(content)} in row {row}; decode it") from None
