"""``fewshot-bench audit``: are there near-duplicates across the splits of a data set?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewshot.cli.terminal.options import AsJson, OnDevice, parsed
from fewshot.cli.terminal.output import document, note, show_tables, stdout_kept
from fewshot.errors import DataError

if TYPE_CHECKING:
    from fewshot.datasets.collection import Collection
    from fewshot.tables.audit import Audit

EXAMPLES = (
    "fewshot-bench audit caltech101",
    "fewshot-bench audit omniglot --data-option rotations=none --backbone conv4-omniglot --sheet pairs.png",
    "fewshot-bench audit ./my-photos --threshold 0.95 --json",
)
IMAGES, MOST_SHOWN = "timm:tf_efficientnet_lite0", 48


def audit(
    data: Annotated[str, typer.Argument(help="Name of a data set, a folder of class folders, .zip, .npz or .csv.")],
    backbone: Annotated[
        str | None,
        typer.Option(help="Name of a backbone; without it: EfficientNet-Lite0 for images, MiniLM for texts."),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Least cosine; without it: the largest that finds 95 % of planted copies.")
    ] = None,
    data_option: Annotated[list[str], typer.Option(metavar="KEY=VALUE", help="An option of the data.")] = [],  # noqa: B006
    sheet: Annotated[Path | None, typer.Option(help="Picture of the nearest pairs, .png, .svg or .pdf.")] = None,
    device: OnDevice = "cpu",
    as_json: AsJson = False,
) -> None:
    """Search for near-duplicates across splits.

    Counts the items of each split that have a near-duplicate in another. Look at the pairs: this is a screening.
    Exit code 1 if there are any.
    """
    from fewshot.backbones.index import load_backbone
    from fewshot.datasets.index import load_dataset
    from fewshot.evaluation.audit.splits import audit as search
    from fewshot.figures.accuracy import require_ending
    from fewshot.plumbing.device import device_named, on_device
    from fewshot.plumbing.files import require_writable_files
    from fewshot.training.memory import keep_freed_memory

    if sheet is not None:
        require_ending(sheet)
        require_writable_files(sheet)
    keep_freed_memory()
    place = device_named(device)
    options = parsed(data_option, "--data-option")
    with stdout_kept():
        whole = load_dataset(data, **options)
        if sheet is not None and not _are_images(whole.items):
            raise DataError("--sheet needs uint8 images, got other items; leave it out")
        name = backbone or _default(whole)
        note(f"embedding {len(whole):,} items with {name}, unless the cache has them")
        network = on_device(load_backbone(name), place)
        found = search(whole, network, threshold).model_copy(update={"data": data, "options": options})
    if as_json:
        document(found.as_json())
    else:
        show_tables(found.table(), *([found.pair_table()] if found.all_pairs() else []))
    if sheet is not None:
        with stdout_kept():
            _write_sheet(whole, found, sheet)
    if found.all_pairs():
        raise typer.Exit(1)


def _default(whole: "Collection") -> str:
    """Images and texts by the networks whose weights come with an extra; other arrays as they are."""
    from fewshot.cli.objects.one_row import TEXT_BACKBONE, is_text

    if is_text(whole.items):
        return TEXT_BACKBONE
    return IMAGES if _are_images(whole.items) else "pixels"


def _are_images(items: Any) -> bool:
    return items.ndim == 4 and items.shape[1] in (1, 3) and str(items.dtype).endswith("uint8")


def _write_sheet(whole: "Collection", found: "Audit", path: Path) -> None:
    """The nearest pairs as a picture; a word on stderr where there is nothing to show."""
    import numpy as np

    from fewshot.figures.accuracy import save_figure
    from fewshot.figures.pair_sheet import pair_sheet

    pairs = found.all_pairs()[:MOST_SHOWN]
    if not pairs:
        note("no sheet: there are no pairs")
        return
    captions = [(p.item, p.other, f"cosine {p.cosine:.4f}{', equal' * p.equal}") for p in pairs]
    first, second = (
        whole.take(np.array(rows)).numpy() for rows in ([p.row for p in pairs], [p.other_row for p in pairs])
    )
    note(f"sheet: {save_figure(pair_sheet(first, second, captions), path)}")
