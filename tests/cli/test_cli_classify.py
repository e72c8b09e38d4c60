"""``fewshot-bench classify``: labels for a user's own items, in every form, and what is refused."""

import csv
import json

import numpy as np
import pytest
from cli import as_json, call, refused
from PIL import Image

from fewshot.estimator.classifier import FewShotClassifier

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
PIXELS = ("--backbone", "pixels", "--learner", "nearest-mean")


def write_picture(path, colour, seed):
    noise = np.random.default_rng(seed).integers(-25, 26, (11, 14, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8)).save(path)


@pytest.fixture
def photos(tmp_path, monkeypatch, own_cache):
    """Folders ``photos`` with three classes of four images, and ``new`` with two of each and one between classes."""
    monkeypatch.chdir(tmp_path)
    for name, colour in COLOURS.items():
        for k in range(6):
            place = tmp_path / "photos" / name / f"{k}.png" if k < 4 else tmp_path / "new" / f"{name}{k}.png"
            write_picture(place, colour, k)
    write_picture(tmp_path / "new" / "unclear.png", (115, 115, 30), 0)
    return tmp_path


def test_labels_and_confidence_are_those_of_the_classifier(photos):
    found = as_json("classify", "photos", "new", *PIXELS)
    paths = sorted((photos / "photos").glob("*/*.png"))
    own = FewShotClassifier("pixels", "nearest-mean").fit(paths, [path.parent.name for path in paths])
    asked = sorted((photos / "new").glob("*.png"))
    assert [answer["item"] for answer in found["answers"]] == [path.name for path in asked]
    assert [answer["label"] for answer in found["answers"]] == own.predict(asked).tolist()
    for answer, row in zip(found["answers"], own.predict_proba(asked), strict=True):
        assert answer["confidence"] == pytest.approx(row.max())
        assert list(answer["probabilities"].values()) == pytest.approx(row.tolist())
    about = found["classifier"]
    assert about["classes"] == ["blue", "green", "red"] and about["examples"] == 12
    assert about["left_out"] == {"right": 12, "asked": 12} and about["backbone"] == "pixels"


def test_the_table(photos):
    out = call("classify", "photos", "new", *PIXELS, "--coverage", 0.9, "--reject-below", 0.8).stdout
    lines = {line.split()[0]: line.split() for line in out.splitlines() if ".png" in line}
    assert lines["red4.png"][1] == "red" and lines["unclear.png"][1] == "–" and len(lines) == 7
    assert "nearest-mean on pixels, from 12 examples of 3 classes" in out
    assert "left-out examples answered correctly: 12 of 12" in out
    assert "no label where its probability lies below 80 %" in out and "with coverage 90 %" in out


def test_csv_and_json_and_sheet(photos):
    options = ("--coverage", 0.9, "--reject-below", 0.8, "--csv", "out/answers.csv", "--sheet", "out/answers.png")
    document = as_json("classify", "photos", "new", *PIXELS, *options)
    with (photos / "out" / "answers.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["item"] for row in rows] == [answer["item"] for answer in document["answers"]]
    for row, answer in zip(rows, document["answers"], strict=True):
        assert row["label"] == (answer["label"] or "") and float(row["confidence"]) == answer["confidence"]
        assert row["set"] == "|".join(answer["set"])
    assert rows[-1]["label"] == "" and document["answers"][-1]["label"] is None
    with Image.open(photos / "out" / "answers.png") as picture:
        assert picture.size[0] > 500


def test_a_saved_classifier_stands_for_the_examples(photos):
    first = as_json("classify", "photos", "new", *PIXELS, "--reject-below", 0.8, "--save", "mine.safetensors")
    assert as_json("classify", "mine.safetensors", "new") == first
    alone = as_json("classify", "mine.safetensors", "new/red4.png")["answers"]
    assert [(answer["item"], answer["label"]) for answer in alone] == [("red4.png", "red")]
    assert FewShotClassifier.load("mine.safetensors").predict([photos / "new" / "red4.png"]).tolist() == ["red"]
    assert "has its backbone and learner" in refused("classify", "mine.safetensors", "new", "--learner", "nearest-mean")


def test_texts_and_an_option_of_the_learner(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    rows = ["lost my card,card", "card was stolen,card", "what is my balance,money", "how much do I have,money"]
    (tmp_path / "known.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "new.txt").write_text("someone took my card\nshow my balance\n")
    found = as_json("classify", "known.csv", "new.txt", "--option", "C=2")
    assert [(a["item"], a["label"]) for a in found["answers"]] == [
        ("someone took my card", "card"), ("show my balance", "money"),
    ]  # fmt: skip
    assert found["classifier"]["options"] == {"C": 2} and found["classifier"]["learner"] == "logistic-regression"
    assert "someone took my card" in call("classify", "known.csv", "new.txt").stdout
    assert "shows images" in refused("classify", "known.csv", "new.txt", "--sheet", "a.png")


def test_tables_of_paths_and_arrays(photos):
    rows = [f"photos/{name}/{k}.png,{name}" for name in COLOURS for k in range(4)]
    (photos / "known.csv").write_text("\n".join(["path,label", *rows]))
    whole, table = (as_json("classify", support, "new", *PIXELS) for support in ("photos", "known.csv"))
    assert whole["answers"] == table["answers"]
    rng = np.random.default_rng(0)
    np.savez("known.npz", x=rng.normal(size=(8, 3)) + np.repeat([[0], [5]], 4, 0), y=np.repeat([3, 1], 4))
    np.savez("new.npz", x=np.array([[0.0, 0, 0], [5, 5, 5]]))
    found = as_json("classify", "known.npz", "new.npz")
    assert [answer["label"] for answer in found["answers"]] == ["3", "1"] and found["classifier"]["kind"] == "rows"


def test_queries_are_read_before_anything_is_embedded(photos, monkeypatch):
    monkeypatch.setattr(FewShotClassifier, "fit", lambda *given: pytest.fail("examples were embedded"))
    (photos / "torn.csv").write_text('text\n"open\n')
    assert "quotes close" in refused("classify", "photos", "torn.csv", *PIXELS)
    (photos / "new.txt").write_text("a text\n")
    assert "must hold images as the examples are, got texts" in refused("classify", "photos", "new.txt", *PIXELS)


def test_what_was_passed_over_is_counted_once_in_each_folder(photos):
    (photos / "new" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    result = call("classify", "photos", "new", *PIXELS, "--coverage", 0.8, "--json")
    lines = [line for line in result.stderr.splitlines() if line.startswith("warning:")]
    assert lines == [
        "warning: files in 'new' that are no readable images were passed over: 1 .heic; convert photos among them to .jpg"
    ]
    assert len(json.loads(result.stdout)["answers"]) == 7


def test_how_items_were_read_stands_in_the_output(photos):
    assert as_json("classify", "photos", "new", *PIXELS)["items"] == {"count": 7, "image_size": [84, 84], "too_long": 0}
    out = call("classify", "photos", "new", *PIXELS, "--data-option", "size=12").stdout
    assert "images: 12 x 12 pixels" in out and "not calibrated" not in out


def test_names_of_columns_and_a_delimiter(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    rows = [
        "lost my card, please help;card",
        "card was stolen;card",
        "what is my balance;money",
        "how much do I have;money",
    ]
    (tmp_path / "known.csv").write_text("\n".join(["question;intent", *rows]))
    (tmp_path / "new.csv").write_text("id;question\n1;someone took my card, help\n2;show my balance\n")
    (tmp_path / "new.tsv").write_text("id\ttext\n1\tsomeone took my card, help\n2\tshow my balance\n")
    names = ("--data-option", "text=question", "--data-option", "label=intent")
    for asked in ("new.csv", "new.tsv"):
        found = as_json("classify", "known.csv", asked, *names)
        assert [(a["item"], a["label"]) for a in found["answers"]] == [
            ("someone took my card, help", "card"), ("show my balance", "money"),
        ]  # fmt: skip
    assert "got ['question', 'intent']" in refused("classify", "known.csv", "new.csv")
    assert "got ['question;intent']" in refused(
        "classify", "known.csv", "new.csv", *names, "--data-option", "delimiter=tab"
    )


def test_texts_of_several_lines_and_of_many_tokens(tmp_path, monkeypatch, own_cache):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "known.csv").write_text("text,label\nmy card,card\nmy balance,money\n")
    (tmp_path / "new.csv").write_text(
        f'text\n"first line\nsecond line"\n{"thank you for your help " * 80}and my card\n'
    )
    result = call("classify", "known.csv", "new.csv")
    rows = [line for line in result.stdout.splitlines() if line.startswith(("first", "thank"))]
    assert rows[0].startswith("first line second line  ") and "…" in rows[1] and "and my card" in rows[1]
    assert "1 of 2 texts are longer than the backbone reads: their ends are cut off" in result.stdout
    assert "warning: 1 of 2 texts have more than the 256 tokens" in result.stderr
    assert "confidence is not calibrated: no class has a second example" in result.stdout


def test_sets_that_lack_the_label_are_explained(photos):
    out = call("classify", "photos", "new", *PIXELS, "--coverage", 0.5).stdout
    lines = [line.split() for line in out.splitlines() if ".png" in line]
    lacking = sum(line[1] not in line[3:] for line in lines)
    assert lacking and f"{lacking} of 7 sets lack the item's label" in out


@pytest.mark.parametrize(
    "options",
    [
        ("--backbone", "conv4-omniglot"),
        ("--backbone", "none", "--learner", "nearest-mean"),
        ("--backbone", "pixels", "--learner", "relation-net"),
    ],
)
def test_networks_that_do_not_fit(photos, options):
    assert "must take items of shape" in refused("classify", "photos", "new", *options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "new"), "(or a folder; there is nothing at 'nowhere')"),
        (("./nowhere", "new"), "nothing there"),
        (("photos", "nowhere"), "got nothing there"),
        (("photos", "new", "--learner", "nearest-meen"), "did you mean 'nearest-mean'"),
        (("photos", "new", "--backbone", "pixel"), "did you mean 'pixels'"),
        (("photos", "new", *PIXELS, "--option", "metrik=1"), "must be among 'metric'"),
        (("photos", "new", *PIXELS, "--reject-below", 2), "less than or equal to 1"),
        (("photos", "new", *PIXELS, "--coverage", 0.99), "need 99 labelled examples, got 12"),
        (("photos", "new", *PIXELS, "--save", "mine.pkl"), "--save must name a file that ends in .safetensors"),
        (("photos", "new", *PIXELS, "--sheet", "a.xyz"), "ends in .png, .svg, .pdf, got 'a.xyz'; rename it"),
        (("photos", "new", *PIXELS, "--sheet", "a"), "ends in .png, .svg, .pdf, got 'a'; rename it"),
        (("photos", "new.txt", *PIXELS), "must hold images as the examples are, got texts"),
        (("new", "new", *PIXELS), "every image must lie in a class folder"),
    ],
)
def test_bad_input_is_one_sentence_and_code_2(photos, arguments, message):
    (photos / "new.txt").write_text("a text\n")
    assert message in refused("classify", *arguments)


def test_nothing_is_written_where_it_is_refused(photos):
    refused("classify", "photos", "new", *PIXELS, "--coverage", 0.99, "--save", "mine.safetensors", "--csv", "a.csv")
    assert not (photos / "mine.safetensors").exists() and not (photos / "a.csv").exists()


def test_a_picture_is_refused_before_any_work_and_drawn_after_the_answers(photos, monkeypatch):
    from fewshot.cli import classify
    from fewshot.errors import DataError

    def fail(*given):
        raise DataError("no room for a picture")

    monkeypatch.setattr(classify, "write_sheet", fail)
    result = call("classify", "photos", "new", *PIXELS, "--sheet", "a.PNG", code=2)
    assert "unclear.png" in result.stdout and "no room for a picture" in result.stderr
    monkeypatch.setattr(classify, "_read", lambda *given: pytest.fail("work"))
    assert "rename it" in refused("classify", "photos", "new", *PIXELS, "--sheet", "a.gif")


def test_one_document_is_all_of_stdout(photos):
    assert json.loads(call("classify", "photos", "new", *PIXELS, "--save", "a.safetensors", "--json").stdout)["answers"]
