"""Transductive learners on validation classes: a default strength for LaplacianShot, and who loses with unbalanced queries.

Run it to write ``benchmarks/results/transductive.json`` (some minutes on one core; needs ``$FEWSHOT_DATA`` with ``caltech101``
and ``omniglot``); with ``--render`` it rewrites the tables of the learners' pages from that file, with ``--check`` it
fails if they differ. No test class is read.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from fewshot import EpisodeSpec, evaluate
from fewshot.backbones.index import load_backbone
from fewshot.datasets.collection import Collection
from fewshot.datasets.index import load_dataset
from fewshot.evaluation.describe import versions
from fewshot.learners.index import load_learner

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from blocks import replaced  # noqa: E402

RESULTS, PAGES = ROOT / "benchmarks" / "results" / "transductive.json", ROOT / "docs" / "learners"
DATA = {
    "Caltech-101, EfficientNet-Lite0": ("caltech101", {"size": 84}, "efficientnet-lite0"),
    "Omniglot, Conv-4": ("omniglot", {"split": "vinyals", "rotations": "none"}, "conv4-omniglot"),
}
QUERIES = {
    "15 a class": EpisodeSpec(query=15),
    "3 a class": EpisodeSpec(query=3),
    "5 a class": EpisodeSpec(query=5),
    "25, Dirichlet(2)": EpisodeSpec(query=5, dirichlet=2.0),
}
STRENGTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
EPISODES, SEED = 300, 0
FEWER_STEPS = {"steps": 200, "lr": 0.001}  # of Adam; the published 1,000 take too long here
LEARNERS: dict[str, dict[str, Any]] = {
    "nearest-mean": {"metric": "cosine"},
    "alpha-tim": FEWER_STEPS,
    "bd-cspn": {},
    "label-propagation": {},
    "laplacian-shot": {"strength": 0.4},
    "pt-map": {},
    "pt-map, estimated": {"marginal": "estimated"},
    "tied-em": {},
    "tim-adm": {},
    "tim-gd": FEWER_STEPS,
    "transductive-fine-tune": {},
}
MOST_FEATURES = 100  # with which many steps of Adam are taken
Row = dict[str, Any]


def features() -> Iterator[tuple[str, Collection]]:
    """Name and validation features of each kind of data."""
    for name, (data, options, backbone) in DATA.items():
        yield name, load_dataset(data, **options).split("val").embed(load_backbone(backbone))


def strengths() -> Iterator[Row]:
    """LaplacianShot of every strength in every setting: accuracies in per cent by strength, all on the same episodes.

    Without base classes, so features have length 1 and are not centred, as on the command line without ``--base``.
    """
    for name, val in features():
        for shot in (1, 5):
            for queries, spec in QUERIES.items():
                found = {
                    f"{s:g}": accuracy(load_learner("laplacian-shot", strength=s), val, spec, shot) for s in STRENGTHS
                }
                yield told({"data": name, "shot": shot, "queries": queries, **found})


def unbalanced() -> Iterator[Row]:
    """Every transductive learner on 25 queries, shared evenly and by Dirichlet(2), beside nearest mean by cosine."""
    even, uneven = list(QUERIES.values())[2:]
    for name, val in features():
        for shot in (1, 5):
            for label, options in LEARNERS.items():
                if options is FEWER_STEPS and val.items.shape[1] > MOST_FEATURES:
                    continue
                learner = load_learner(label.partition(",")[0], **options)
                found = {
                    "5 a class": accuracy(learner, val, even, shot),
                    "Dirichlet(2)": accuracy(learner, val, uneven, shot),
                }
                yield told({"data": name, "shot": shot, "learner": label, **found})


def told(row: Row) -> Row:
    """The row, after a line on stderr."""
    print(*row.values(), file=sys.stderr, flush=True)
    return row


def accuracy(learner: Any, collection: Collection, spec: EpisodeSpec, shot: int) -> float:
    """Mean over the episodes, in per cent."""
    return round(100 * evaluate(learner, collection, replace(spec, shot=shot), EPISODES, SEED).accuracy, 2)


def chosen(rows: list[Row]) -> str:
    """The strength whose largest loss against the best of each setting is smallest."""
    return min((f"{s:g}" for s in STRENGTHS), key=lambda s: max(best(row) - row[s] for row in rows))


def best(row: Row) -> float:
    """Highest accuracy of a setting, in per cent."""
    return max(row[f"{s:g}"] for s in STRENGTHS)


def table(rows: list[Row]) -> str:
    """A Markdown table; accuracies with one decimal."""
    cells = [[f"{v:.1f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    lines = [list(rows[0]), ["---:" if isinstance(v, (int, float)) else "---" for v in rows[0].values()], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def largest_losses(rows: list[Row]) -> Row:
    """A last row with the largest loss of each strength against the best of a setting, in points."""
    losses = {f"{s:g}": round(max(best(row) - row[f"{s:g}"] for row in rows), 2) for s in STRENGTHS}
    return {"data": "largest loss, in points", "shot": "", "queries": "", **losses}


def pages(content: dict[str, Any]) -> dict[Path, tuple[str, str]]:
    """The block and its content on each page."""
    strengths, unbalanced = content["strengths"], content["unbalanced"]
    differences = [row | {"difference": f"{row['Dirichlet(2)'] - row['5 a class']:+.1f}"} for row in unbalanced]
    return {
        PAGES / "laplacian-shot.md": ("strengths", table([*strengths, largest_losses(strengths)])),
        PAGES / "index.md": ("unbalanced queries", table(differences)),
    }


def main() -> int:
    """Measure, render or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--render", action="store_true", help="rewrite the tables of the pages")
    parser.add_argument("--check", action="store_true", help="fail if the tables of the pages are stale")
    arguments = parser.parse_args()
    if not (arguments.render or arguments.check):
        content = {
            "schema": 1, "episodes": EPISODES, "seed": SEED, "split": "val", "versions": versions(),
            "strengths": list(strengths()), "unbalanced": list(unbalanced()),
        }  # fmt: skip
        RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return 0
    rendered = {path: replaced(path, *block) for path, block in pages(json.loads(RESULTS.read_text("utf-8"))).items()}
    stale = [path for path, text in rendered.items() if text != path.read_text("utf-8")]
    if arguments.render:
        for path in stale:
            path.write_text(rendered[path], "utf-8")
    return int(arguments.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
