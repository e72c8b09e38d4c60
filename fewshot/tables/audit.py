"""What an audit of near-duplicates found: counts of items, each once, and the pairs behind them."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from fewshot.plumbing.files import write_json
from fewshot.records.record import BackboneInfo
from fewshot.tables.record_tables import Table

VERSION = 1
SCREENING = "a screening: copies can be missed, and what is found may merely look alike; look at the pairs"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Pair(_Part):
    """An item of a split with the item nearest to it in another, by name and row; ``equal`` where every byte is."""

    item: str
    other: str
    row: int
    other_row: int
    cosine: float
    equal: bool


class Between(_Part):
    """Items of one split that have a near-duplicate in another; a collection without splits is one split, ``"all"``.

    Attributes:
        split: Whose items are counted, each once.
        other: Where their near-duplicates lie; the same name for a collection against itself.
        items: Items of the split.
        found: Those with a near-duplicate in the other.
        equal: Those with the very same bytes there.
        largest: Largest cosine of any pair.
        near_pairs: Pairs at or above the threshold, which are more where items have several.
        pairs: One for each item that was found: its nearest; nearest pairs first.
    """

    split: str
    other: str
    items: int
    found: int
    equal: int
    largest: float
    near_pairs: int
    pairs: list[Pair]


class Audit(_Part):
    """Near-duplicates across the splits of a collection, by the cosine of features.

    Attributes:
        data: Name of the collection.
        options: Of its loader.
        hash: SHA-256 of its items and labels.
        splits: Items of each split.
        backbone: What made the features.
        threshold: Least cosine of a near-duplicate.
        rule: How the threshold came about.
        copies_found: Of the planted copies of each kind, the share at or above the threshold.
        same_class: Share of all items whose nearest item of their own class is at or above the threshold: how usual
            such a cosine is between items that need not be copies.
        repeated: Items, wherever they are, that repeat an earlier one byte by byte.
        between: For every two splits, neither of which holds the other.
        audit: Version of this format.
    """

    audit: int = VERSION
    data: str
    options: dict[str, Any] = {}
    hash: str
    splits: dict[str, int]
    backbone: BackboneInfo
    threshold: float
    rule: str
    copies_found: dict[str, float] = {}
    same_class: float
    repeated: int
    between: list[Between]
    versions: dict[str, str]
    code: str

    @property
    def judged(self) -> str:
        """The split that results are on: ``test``, or else the last."""
        return "test" if "test" in self.splits else list(self.splits)[-1]

    @property
    def found(self) -> int:
        """Items of the judged split with a near-duplicate in any other, each counted once."""
        return len({pair.row for b in self.between if b.split == self.judged for pair in b.pairs})

    def line(self) -> str:
        """One sentence to stand under a table."""
        where = "within the collection" if self.judged == "all" else "across splits"
        kind = "" if self.judged == "all" else f"{self.judged} "
        count = f"{self.found:,} of {self.splits[self.judged]:,} {kind}items"
        return f"near-duplicates {where}: {count} (cosine ≥ {self.threshold:.3g}, {self.backbone.name})"

    def table(self) -> Table:
        """A row for every two splits."""
        rows = tuple(
            (b.split, b.other, *(f"{n:,}" for n in (b.items, b.found, b.equal, b.near_pairs)), f"{b.largest:.4f}")
            for b in self.between
        )
        columns = ("items of", "that are near one of", "items", "found", "equal", "near pairs", "largest cosine")
        return Table(columns, rows, notes=(self.line(), *self._meaning(), SCREENING))

    def _meaning(self) -> tuple[str, ...]:
        """What the threshold finds, and how usual such a cosine is."""
        copies = ", ".join(f"{share:.0%} {kind}" for kind, share in self.copies_found.items())
        planted = (f"of planted copies it finds: {copies}",) if copies else ()
        usual = f"{self.same_class:.1%} of all items have another of their own class as near"
        repeated = f"{self.repeated:,} repeat another byte by byte"
        return (f"threshold: {self.rule}", *planted, f"{usual}; {repeated}")

    def pair_table(self, most: int = 20) -> Table:
        """The nearest pairs, over all splits."""
        pairs = self.all_pairs()
        rows = tuple((p.item, p.other, f"{p.cosine:.4f}", "yes" if p.equal else "no") for p in pairs[:most])
        notes = (f"{len(pairs) - most:,} more: --json has all of them",) if len(pairs) > most else ()
        return Table(("item", "nearest", "cosine", "equal"), rows, notes=notes)

    def all_pairs(self) -> list[Pair]:
        """Pairs of all splits, the nearest first, each once also where splits overlap."""
        pairs = {(pair.row, pair.other_row): pair for b in self.between for pair in b.pairs}
        return sorted(pairs.values(), key=lambda pair: -pair.cosine)

    def as_json(self) -> dict[str, Any]:
        """What the file holds."""
        return self.model_dump(mode="json")

    def save(self, path: Path | str) -> Path:
        """Write it as a JSON file."""
        return write_json(path, self.as_json())
