"""Write ``data/splits/caltech101.yaml``: run it once, from the project's root, with ``$FEWSHOT_DATA`` set."""

import hashlib
from pathlib import Path

import yaml

from fewshot.datasets.class_splits import hash_of
from fewshot.datasets.formats.trees import Tree
from fewshot.datasets.location import data_root
from fewshot.datasets.named.caltech101 import BACKGROUND, find_images

SAME_SUBJECT = [  # classes that show the same kind of thing
    ["Faces", "Faces_easy"],
    ["chair", "windsor_chair"],
    ["cougar_body", "cougar_face"],
    ["crocodile", "crocodile_head"],
    ["flamingo", "flamingo_head"],
    ["lotus", "water_lilly"],
]
SIZES = {"train": 61, "val": 20, "test": 20}
RULE = (
    "Classes of one subject make a group, every other class is a group of its own. Groups are sorted by the SHA-256 of "
    "their first name. In that order, each group goes to the first of train, val and test that has room for all of it."
)


def main() -> None:
    """Group, sort, share out, write."""
    names = sorted({Path(file).parts[-2] for file in Tree(find_images(data_root("caltech101"))).files} - {BACKGROUND})
    shared = {name for group in SAME_SUBJECT for name in group}
    groups = SAME_SUBJECT + [[name] for name in names if name not in shared]
    parts: dict[str, tuple[str, ...]] = dict.fromkeys(SIZES, ())
    for group in sorted(groups, key=lambda g: hashlib.sha256(g[0].encode()).hexdigest()):
        part = next(p for p in SIZES if len(parts[p]) + len(group) <= SIZES[p])
        parts[part] += tuple(group)
    parts = {part: tuple(sorted(classes)) for part, classes in parts.items()}
    content = {"rule": RULE, "same_subject": SAME_SUBJECT, "sha256": hash_of(parts)}
    content |= {part: list(classes) for part, classes in parts.items()}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    Path("data/splits/caltech101.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
