"""``fewshot-bench audit``: what it prints, its exit codes, and the audits that are kept with the results."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli import as_json, call, refused
from PIL import Image
from test_audit import photos, planted

from fewshot.tables.audit import Audit

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


@pytest.fixture
def folder(tmp_path, monkeypatch, own_cache):
    """Photographs in class folders below train and test; one of the test split is a copy through JPEG."""
    monkeypatch.chdir(tmp_path)
    images = photos(16, side=84).permute(0, 2, 3, 1).numpy()
    for row, image in enumerate(images):
        place = tmp_path / "mine" / ("train" if row < 8 else "test") / f"class{row // 4}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{row:02}.png")
    Image.fromarray(images[3]).save(tmp_path / "mine" / "test" / "class3" / "copy.jpg", quality=80)
    return tmp_path


def test_a_copy_is_found_listed_and_drawn(folder):
    asked = ("audit", "mine", "--backbone", "pixels", "--threshold", 0.995)
    found = as_json(*asked, "--sheet", "pairs.png", code=1)
    (b,) = found["between"]
    assert (b["split"], b["other"], b["found"], b["items"]) == ("test", "train", 1, 9)
    assert b["pairs"][0]["item"].endswith("copy.jpg") and b["pairs"][0]["other"].endswith("class0/03.png")
    assert found["data"] == "mine" and found["threshold"] == 0.995
    with Image.open("pairs.png") as picture:
        assert picture.width > 1000
    text = call(*asked, code=1).stdout
    assert "near-duplicates across splits: 1 of 9 test items (cosine ≥ 0.995, pixels)" in text and "copy.jpg" in text


def test_none_is_exit_code_0_and_no_sheet(folder):
    (folder / "mine" / "test" / "class3" / "copy.jpg").unlink()
    result = call("audit", "mine", "--backbone", "pixels", "--threshold", 0.995, "--sheet", "pairs.png")
    assert "0 of 8 test items" in result.stdout and "no sheet" in result.stderr
    assert not (folder / "pairs.png").exists()


def test_arrays_need_a_threshold_and_have_no_sheet(folder):
    np.savez("rows.npz", x=np.eye(6, dtype=np.float32), y=[0, 0, 1, 1, 2, 2], split=["train"] * 4 + ["test"] * 2)
    assert "give a threshold" in refused("audit", "rows.npz")
    assert "needs uint8 images" in refused("audit", "rows.npz", "--threshold", 0.9, "--sheet", "pairs.png")
    assert as_json("audit", "rows.npz", "--threshold", 0.9)["backbone"]["name"] == "pixels"
    assert "between -1 and 1" in refused("audit", "rows.npz", "--threshold", 7)


def test_a_picture_of_no_known_ending_is_refused_before_anything_is_embedded(folder, monkeypatch):
    from fewshot.evaluation.audit import splits as module

    monkeypatch.setattr(module, "audit", lambda *given: pytest.fail("embedded"))
    assert "ends in .png, .svg, .pdf, got 'pairs.xyz'" in refused("audit", "mine", "--sheet", "pairs.xyz")
    np.savez("rows.npz", x=np.eye(4, dtype=np.float32), y=[0, 0, 1, 1])
    assert "needs uint8 images" in refused("audit", "rows.npz", "--threshold", 0.9, "--sheet", "pairs.png")


def test_images_are_embedded_by_efficientnet_and_texts_by_minilm(folder, monkeypatch):
    from fewshot.backbones import index
    from fewshot.datasets import index as data

    asked = []
    real = index.load_backbone
    monkeypatch.setattr(index, "load_backbone", lambda name: (asked.append(name), real("pixels"))[1])
    call("audit", "mine", "--threshold", 0.995, code=1)
    monkeypatch.setattr(data, "load_dataset", lambda name: planted())
    as_json("audit", "anything", code=1)
    assert asked == ["timm:tf_efficientnet_lite0"] * 2
    from fewshot.cli.audit import _default

    texts = planted().subset(np.arange(2))
    object.__setattr__(texts, "items", np.array(["a", "b"], np.dtypes.StringDType()))
    assert _default(texts) == "sentence-transformers:all-MiniLM-L6-v2"


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*-audit.json")), ids=lambda path: path.stem)
def test_kept_audits_are_whole(path):
    audit = Audit.model_validate(json.loads(path.read_text("utf-8")))
    assert audit.line() and audit.between and min(audit.copies_found[k] for k in ("re-encoded", "shifted")) >= 0.95
    assert all(b.found == len(b.pairs) and b.near_pairs >= b.found - b.equal for b in audit.between)


def test_the_page_on_data_has_the_sentences_of_the_kept_audits():
    page = " ".join((RESULTS.parents[1] / "data" / "README.md").read_text("utf-8").split())  # lines are wrapped
    for path in RESULTS.glob("*-audit.json"):
        assert Audit.model_validate(json.loads(path.read_text("utf-8"))).line() in page, path.name


def test_the_audit_of_caltech_is_that_of_these_data(data_root):
    from fewshot import load_dataset

    data_root("caltech101")
    audit = Audit.model_validate(json.loads((RESULTS / "caltech101-audit.json").read_text("utf-8")))
    whole = load_dataset("caltech101")
    assert audit.hash == whole.hash and audit.splits == {name: len(rows) for name, rows in whole.splits.items()}
    assert audit.found == 0
