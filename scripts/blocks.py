"""Parts of documents that are written by scripts, between ``<!-- NAME -->`` and ``<!-- /NAME -->``."""

import re
from pathlib import Path


def replaced(path: Path, name: str, content: str) -> str:
    """The text of a document with another content of its block.

    Raises:
        SystemExit: If the document has not exactly one such block.
    """
    block = f"<!-- {name} -->\n\n{content.strip()}\n\n<!-- /{name} -->"
    pattern = rf"<!-- {name} -->.*?<!-- /{name} -->"
    text, count = re.subn(pattern, lambda _: block, path.read_text("utf-8"), flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{path.name} must have one block '{name}', got {count}")
    return text
