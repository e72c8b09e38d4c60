"""What comes of a damaged file."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What came of an input.

    Attributes:
        what: ``"refused"`` (a `FewShotError` of one sentence), ``"as whole"`` (the answer of whole files), ``"another answer"``,
            ``"raw"``, ``"hang"`` or ``"death"`` of the process.
        place: Of a raw exception: file and line of the package's own innermost frame.
        detail: Exception and message.
    """

    what: str
    place: str = ""
    detail: str = ""
