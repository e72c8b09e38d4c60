"""What people and commands write of results: recipes, papers, records with their answers, choices, learning curves."""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import records
from typer.main import get_command

from fewshot.cli.main import app
from fewshot.cli.objects.at_hand import Known
from fewshot.cli.objects.episodes_beside import view, worst_classes
from fewshot.errors import FewShotError
from fewshot.plumbing.files import write_json
from fewshot.recipes.load import load_recipe
from fewshot.recipes.schema import Recipe
from fewshot.records.choice import Candidate, Choice
from fewshot.records.compare import compare
from fewshot.records.record import MeanInfo, Record
from fewshot.records.zero_shot import Counts, Figure, Generalised, ZeroShotRecord
from fewshot.report.learning_curve import describe_curve, read_curve
from fewshot.report.results import group_results, name_results
from fewshot.tables.class_tables import class_table
from fewshot.tables.facts import facts_table, interval_table, open_set_table
from fewshot.tables.papers import load_paper
from fewshot.tables.record_tables import comparison_table, plain
from fewshot.tables.zero_shot import classes_table, figures_table, zero_shot_table

BASE = {"level": 0.95, "interval": "t", "estimand": "new images", "count": 2}


@cache
def commands() -> Any:
    """The command line, put together once."""
    return get_command(app)


def bench(*arguments: Any) -> str:
    """A command in this process; what it prints, or its one sentence as an error."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = commands().main([str(a) for a in arguments], "fewshot-bench", standalone_mode=False)
    if code:
        lines = [line.removeprefix("error: ") for line in err.getvalue().splitlines() if line.startswith("error: ")]
        raise FewShotError(lines[0] if len(lines) == 1 else f"{len(lines)} sentences:\n{err.getvalue()}")
    return out.getvalue()


RECIPE = """
name: two-learners
about: Two learners on shapes, one of them trained
data: shapes.npz
data_options: {size: 8}
backbone: conv4
backbone_options: {width: 8}
learners:
  - {label: trained, learner: protonet, training: {way: 3, shot: 1, query: 2, episodes: 10, tasks: 2, rotation: class}}
  - {learner: ridge, learner_options: {C: 2.0}, choose: {C: [1, 10]}, pretraining: {steps: 5}}
reference: trained
validation: {way: 3, episodes: 20}
evaluation:
  episodes: 100
  dirichlet: 2.0
  rows:
    - {way: 5, shot: 1}
    - {way: 3, shot: 5, query: 4, unlabelled: 2, distractors: 1, data_options: {size: 9}}
"""
ZERO_SHOT = """
name: two-rows
about: Attributes of animals
data: animals
transforms: [normalise]
learners:
  - {label: linear, learner: eszsl, learner_options: {gamma: 1.0}, choose: {lam: [0.1, 1.0]}}
  - {learner: sje, prompts: ["a photo of a {}"]}
reference: linear
zero_shot:
  rows:
    - {label: proposed, generalised: true}
    - {label: other, data_options: {split: 2009}, open: test-open}
"""
PAPER = """
title: A paper
authors: A. Author
venue: A Conference, 2020
source: https://example.org
tables:
  omniglot:
    about: Table 1
    cells:
      - {method: A, way: 5, shot: 1, value: 98.1, half_width: 0.4, episodes: 600, queries: 15, delta: 1.0, recipe: own.yaml, records: [a-5w1s]}
      - {method: B, way: 20, shot: 5, value: 98, digits: 0, episodes: 1000, queries: 5, delta: 1, recipe: lake-protonet, records: [a, b], reruns: [97.5],
         short_of: 10 of 60 epochs, reason: not known}
"""


def write_recipe(folder: Path) -> None:
    (folder / "own.yaml").write_text(RECIPE)


def read_recipe(folder: Path) -> Any:
    recipe = load_recipe(str(folder / "own.yaml"))
    if not isinstance(recipe, Recipe):
        return recipe.model_dump()
    rows = [(recipe.evaluation.spec(row).short(), recipe.asked(row)) for row in recipe.evaluation.rows]
    return recipe.model_dump(), rows, [one.model_dump() for one in recipe.singles()]


def write_zero_shot_recipe(folder: Path) -> None:
    (folder / "own.yaml").write_text(ZERO_SHOT)


def write_paper(folder: Path) -> None:
    (folder / "paper.yaml").write_text(PAPER)


def read_paper(folder: Path) -> Any:
    paper = load_paper(folder / "paper.yaml")
    return paper.model_dump(), [cell.published for table in paper.tables.values() for cell in table.cells]


def write_records(folder: Path) -> None:
    """Two records of the command line, with data and answers; their seconds are set, so that the files are the same every time."""
    y, rng = np.repeat(np.arange(5), 6), np.random.default_rng(0)
    np.savez(folder / "a.npz", x=(rng.normal(size=(5, 3))[y] + rng.normal(size=(30, 3))).astype(np.float32), y=y)
    for learner in ("nearest-mean", "ridge"):
        bench(
            "evaluate",
            "--data",
            "a.npz",
            "--learner",
            learner,
            "--way",
            2,
            "--query",
            2,
            "--episodes",
            5,
            "--open-classes",
            1,
            "--out",
            learner,
        )
        (made,) = (folder / learner).glob("*.json")
        record = Record.load(made)
        (made.parent / record.answers.file).rename(folder / record.answers.file)
        write_json(folder / f"{learner}.json", record.as_json() | {"seconds": 1.0})
        shutil.rmtree(made.parent)


def read_record(folder: Path) -> Any:
    record, other = (Record.load(folder / f"{name}.json") for name in ("nearest-mean", "ridge"))
    answers = record.load_answers(folder)
    tables = [
        facts_table(record),
        interval_table(record),
        open_set_table(record),
        class_table(answers.true, answers.predicted, None),
    ]
    differences = compare({"one": record, "two": other}, "one")
    return (
        record.as_json(),
        [plain(table) for table in tables],
        differences,
        plain(comparison_table({"one": record, "two": other}, "one", differences)),
    )


def read_records(folder: Path) -> Any:
    one, two = folder / "nearest-mean.json", folder / "ridge.json"
    shown = bench("show", one, "--per-class", "--confusion"), bench("show", one, "--json"), bench("compare", one, two)
    (group,) = group_results(name_results({"one": Record.load(one)}, {"one": folder}))
    known = Known.of(group.results[0])
    return shown, worst_classes(known, group), view(known, group, 3, False)


def write_zero_shot_record(folder: Path) -> None:
    for name, right in (("one", (3, 2)), ("two", (4, 4))):
        zero_shot_record(right).save(folder / f"{name}.json")


def zero_shot_record(right: tuple[int, int]) -> ZeroShotRecord:
    made = records.record()
    bits = np.concatenate([np.arange(4) < n for n in right])
    counts = Counts(classes=["a", "b"], correct=list(right), items=[4, 4], answers=np.packbits(bits).tobytes().hex())
    figures = [Figure(name=name, value=0.5, low=0.4, high=0.6, **{**BASE, "estimand": estimand}) for name in ("zero-shot", "unseen", "seen", "harmonic")
               for estimand in ("new images of these classes", "new classes")]  # fmt: skip
    return ZeroShotRecord(
        learner=made.learner, data=made.data, descriptors="3 numbers, 0123", unseen=counts, figures=figures,
        generalised=Generalised(gamma=0.1, gamma_from="val", unseen=counts, seen=counts, area=0.3, curve=[(0.0, 1.0), (1.0, 0.0)], plain=(0.2, 0.8)),
        versions={"python": "3"}, code="c0de", device="cpu", seconds=1.0,
    )  # fmt: skip


def read_zero_shot_record(folder: Path) -> Any:
    record, other = (ZeroShotRecord.load(folder / f"{name}.json") for name in ("one", "two"))
    tables = [figures_table(record), classes_table(record), zero_shot_table([record, other], None)]
    return record.model_dump(), [plain(table) for table in tables]


def read_zero_shot_records(folder: Path) -> Any:
    one, two = folder / "one.json", folder / "two.json"
    return (
        bench("show", one),
        bench("show", one, "--json"),
        bench("compare", one, two),
        bench("compare", two, one, "--json"),
    )


def write_choice(folder: Path) -> None:
    made = records.record()
    mean = MeanInfo(mean=0.5, low=0.4, high=0.6, **BASE)
    Choice(
        learner="ridge", data=made.data, episodes=made.episodes, candidates=[Candidate(options={"C": 1.0}, accuracy=mean, difference=mean)],
        options={"C": 1.0}, classes=["d:a"], versions={"python": "3"}, code="c0de", seconds=1.0,
    ).save(folder / "choice.json")  # fmt: skip


def read_choice(folder: Path) -> Any:
    choice = Choice.load(folder / "choice.json")
    choice.require_new(["d:b"])
    return choice.selection, choice.model_dump()


def write_curve(folder: Path) -> None:
    rows = [f"{k},{1 / k},0.1,{0.5 if k % 2 else ''}" for k in range(1, 5)]
    (folder / "training.csv").write_text("\n".join(["step,loss,learning_rate,validation_accuracy", *rows]))


def read_curve_of(folder: Path) -> Any:
    curve = read_curve(folder / "training.csv")
    return (
        curve.steps.tolist(),
        curve.losses.tolist(),
        curve.validated.tolist(),
        curve.accuracies.tolist(),
        describe_curve(curve),
    )


def write_report(folder: Path) -> None:
    write_records(folder)
    write_curve(folder)


def read_report(folder: Path) -> Any:
    return bench("verify", folder / "nearest-mean.json"), bench("report", folder, "--out", folder / "out" / "page.html")


KINDS = [
    ("recipe", write_recipe, read_recipe, 8),
    ("zero-shot recipe", write_zero_shot_recipe, read_recipe, 6),
    ("paper", write_paper, read_paper, 6),
    ("record and answers", write_records, read_record, 12, ("nearest-mean.json", ".npz")),
    ("record by commands", write_records, read_records, 0.3, ("nearest-mean.json", ".npz")),
    ("zero-shot record", write_zero_shot_record, read_zero_shot_record, 12, ("one.json",)),
    ("zero-shot record by commands", write_zero_shot_record, read_zero_shot_records, 1, ("one.json",)),
    ("choice", write_choice, read_choice, 8),
    ("learning curve", write_curve, read_curve_of, 6),
    ("report", write_report, read_report, 0.02),
]
