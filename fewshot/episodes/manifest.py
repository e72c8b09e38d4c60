"""One short line that names a list of episodes."""

from collections.abc import Iterable

from fewshot.episodes.draws import VERSION
from fewshot.plumbing.files import digest


def manifest_line(content: Iterable[bytes], names: Iterable[object], what: str, start: int, count: int) -> str:
    """The line: version of the draws, hash of all that decides rows, the spec, and the range.

    Args:
        content: Labels, or the episodes themselves, as bytes.
        names: Item names, where the collection has them.
        what: How the episodes are drawn from the content.
        start: First episode.
        count: Number of episodes.
    """
    items = digest([digest(content).encode(), digest(str(name).encode() for name in names).encode()])[:16]
    return f"v{VERSION} items={items} {what} episodes={start}+{count}"
