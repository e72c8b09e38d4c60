"""Where each result comes from: all that its record says, and the command that makes it again."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

from fewshot.plumbing.files import packaged
from fewshot.records.load import AnyRecord
from fewshot.records.record import Record
from fewshot.records.zero_shot import ZeroShotRecord
from fewshot.report.contents import Contents
from fewshot.tables.facts import facts_table
from fewshot.tables.zero_shot import label_of

FLAGS = {
    "way": "--way",
    "shot": "--shot",
    "query": "--query",
    "open_way": "--open-classes",
    "open_query": "--open-query",
}


@dataclass(frozen=True)
class Origin:
    """One result's.

    Attributes:
        name: File or path.
        facts: Those that differ among the results of the page.
        command: Makes it again; empty where none is known.
        settings: The recipe's or command's, resolved, as JSON.
        notes: What the record itself says a reader must know.
    """

    name: str
    facts: Mapping[str, str]
    command: str
    settings: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Provenance:
    """What all results share, and what each has of its own."""

    shared: Mapping[str, str]
    origins: tuple[Origin, ...]


def provenance(contents: Contents) -> Provenance:
    """Facts of all records, those that agree told once."""
    records: dict[str, AnyRecord] = {**{r.key: r.record for r in contents.few_shot}, **contents.zero_shot}
    facts = {key: facts_of(record) for key, record in records.items()}
    first = next(iter(facts.values()))
    shared = {k: v for k, v in first.items() if len(facts) > 1 and all(f.get(k) == v for f in facts.values())}
    return Provenance(shared, tuple(_origin(k, r, facts[k], shared) for k, r in records.items()))


def _origin(key: str, record: AnyRecord, facts: Mapping[str, str], shared: Mapping[str, str]) -> Origin:
    settings = "" if record.settings is None else json.dumps(record.settings, indent=1, ensure_ascii=False)
    own = {k: v for k, v in facts.items() if shared.get(k) != v}
    return Origin(key, own, command_of(record), settings, tuple(record.notes))


@singledispatch
def facts_of(record: Any) -> dict[str, str]:
    """All that made a record, by what it is."""
    facts = {row[0]: row[1] for row in facts_table(record).rows}
    target = {} if record.target is None else {"hash of the queries' data": record.target.hash}
    return facts | {"data hash": record.data.hash} | target | {"batch norm": record.learner.batch_norm}


@facts_of.register
def _(record: ZeroShotRecord) -> dict[str, str]:
    options = ", ".join(f"{k}={v}" for k, v in record.learner.options.items())
    mixed, base = record.generalised, record.base
    facts = {
        "recipe": record.recipe or "",
        "learner": f"{label_of(record)}: {record.learner.name}" + (f" ({options})" if options else ""),
        "setting": record.setting,
        "data": f"{record.data.name}/{record.data.split}: {record.data.classes} classes, {record.data.items} items",
        "learned from": "" if base is None else f"{base.name}/{base.split}: {base.classes} classes, {base.items} items",
        "descriptions": record.descriptors,
        "selection": record.selection or "",
        "gamma": "" if mixed is None else f"{mixed.gamma:.4g}, from {mixed.gamma_from}",
        "data hash": record.data.hash,
        "software": ", ".join(f"{k} {v}" for k, v in record.versions.items()) + f", code {record.code}, on {record.device}",
        "seconds": f"{record.seconds:.1f}",
    }  # fmt: skip
    return {name: text for name, text in facts.items() if text}


def command_of(record: AnyRecord) -> str:
    """The command line that makes a record again, or nothing where names cannot tell.

    A recipe's name does not tell what ``--set`` changed, or where an own recipe lies; the settings of the record do.
    """
    if record.recipe is not None:
        if not packaged("recipes", f"{record.recipe}.yaml").is_file():
            return ""
        label = (record.settings or {}).get("label")
        return shlex.join(["fewshot-bench", "run", record.recipe, *(["--only", str(label)] if label else [])])
    return _without_recipe(record)


@singledispatch
def _without_recipe(record: Any) -> str:
    """The command ``evaluate`` with its options; nothing where it has none for the record."""
    return ""


@_without_recipe.register
def _(record: Record) -> str:
    spec = record.episodes.spec
    if not spec or not set(spec) <= set(FLAGS):
        return ""
    return shlex.join(["fewshot-bench", "evaluate", *_evaluate_options(record)])


def _evaluate_options(record: Record) -> list[str]:
    e, base = record.episodes, record.training
    backbone = record.backbone_name or "none"
    words = ["--data", record.data.name, "--learner", record.learner.name, "--backbone", backbone]
    words += [w for name, value in e.spec.items() if name in FLAGS and value for w in (FLAGS[name], str(value))]
    words += ["--episodes", str(e.count), "--seed", str(e.seed), "--split", record.data.split or "all"]
    words += ["--base", base.split] if base else []
    words += ["--queries", record.target.name] if record.target else []
    return words + _pairs("--option", record.learner.options) + _pairs("--data-option", record.data.options)


def _pairs(flag: str, options: Mapping[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (flag, f"{name}={json.dumps(value)}")]
