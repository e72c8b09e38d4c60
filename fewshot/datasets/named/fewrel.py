"""FewRel: sentences with two marked entities, and the relation between them; the validation parts, which are public.

Han et al., "FewRel: A Large-Scale Supervised Few-Shot Relation Classification Dataset", EMNLP 2018 (``wiki``: 16 relations of
Wikidata, 700 sentences each); Gao et al., "FewRel 2.0", EMNLP 2019 (``pubmed``: 10 relations, 100 sentences each). MIT,
github.com/thunlp/FewRel.
"""

from dataclasses import replace
from typing import Annotated, Any

from pydantic import AfterValidator, Field, NonNegativeInt
from typing_extensions import TypedDict

from fewshot.datasets.collection import Collection
from fewshot.datasets.conversion import as_items
from fewshot.datasets.location import data_root
from fewshot.datasets.published_texts import read_json, spoken
from fewshot.errors import DataError

COUNTS = {"wiki": (16, 700), "pubmed": (10, 100)}
FORMS = ("marked", "asked", "plain")
Places = Annotated[list[Annotated[list[NonNegativeInt], Field(min_length=1)]], Field(min_length=1)]
Entity = tuple[Any, Any, Places]  # its name, its id, and its tokens wherever it is named


class _Row(TypedDict):
    tokens: list[str]
    h: Entity
    t: Entity


def _in_tokens(row: _Row) -> _Row:
    last = max(place for entity in (row["h"], row["t"]) for place in entity[2][0])
    if last >= len(row["tokens"]):
        raise ValueError(f"entities must lie among the {len(row['tokens'])} tokens, got place {last}")
    return row


Sentence = Annotated[_Row, AfterValidator(_in_tokens)]


def load_fewrel(domain: str = "wiki", entities: str = "marked") -> Collection:
    """Sentences as texts, their relations as classes; no splits, for all relations are for validation.

    Descriptors are the relations' names and descriptions (``wiki``), or their names as words (``pubmed``).

    Args:
        domain: ``"wiki"`` or ``"pubmed"``.
        entities: ``"marked"`` puts brackets around both entities, of which the first says "head"; ``"asked"`` names them
            after the sentence, with an empty place for the relation; ``"plain"`` leaves the sentence as it is.

    Raises:
        MissingDataError: If a file is not below ``$FEWSHOT_DATA/fewrel``.
        DataError: If domain or form is not known, or the files are not those that were published.
    """
    if domain not in COUNTS or entities not in FORMS:
        raise DataError(
            f"domain must be one of {', '.join(COUNTS)} and entities one of {', '.join(FORMS)}, got '{domain}' and '{entities}'"
        )
    folder, (relations, count) = data_root("fewrel"), COUNTS[domain]
    content = read_json(folder / f"val_{domain}.json", dict[str, list[Sentence]])
    if sorted(map(len, content.values())) != [count] * relations:
        raise DataError(
            f"val_{domain}.json must have {relations} relations of {count} sentences, got {len(content)}; fetch it again"
        )
    rows = [(sentence(row, entities), relation) for relation, of in content.items() for row in of]
    texts, labels = zip(*rows, strict=True)
    whole = Collection.from_arrays(list(texts), labels, name=f"fewrel-{domain}")
    if domain == "pubmed":
        return replace(whole, descriptors=spoken(whole.class_names))
    described = read_json(folder / "pid2name.json", dict[str, list[str]])
    absent = [name for name in whole.class_names if name not in described]
    if absent:
        raise DataError(f"pid2name.json must describe every relation, got none for '{absent[0]}'; fetch it again")
    return replace(whole, descriptors=as_items([": ".join(described[name]) for name in whole.class_names]))


def sentence(row: dict[str, Any], entities: str) -> str:
    """The text of a row, in one of the forms of `load_fewrel`."""
    tokens, head, tail = list(row["tokens"]), row["h"][2][0], row["t"][2][0]
    names = [" ".join(tokens[i] for i in where) for where in (head, tail)]
    if entities == "marked":
        for where, mark in ((head, "[head "), (tail, "[")):
            tokens[where[0]] = mark + tokens[where[0]]
            tokens[where[-1]] += "]"
    asked = f" {names[0]} … {names[1]}" if entities == "asked" else ""
    return " ".join(tokens) + asked
