"""The border to files: one sentence for whatever is damaged, and forms that are checked before anything is used."""

import json
import pickle
import struct
import subprocess
import sys
import warnings
import zipfile
from typing import Annotated

import numpy as np
import pytest
import torch
import yaml
from numpy.testing import assert_array_equal
from old_pickles import old_pickle
from PIL import Image
from pydantic import BeforeValidator
from records import record
from safetensors import safe_open
from safetensors.torch import save
from scipy.io import savemat
from torch import nn

from fewshot import FewShotClassifier, load_dataset
from fewshot.backbones.weights import load_weights
from fewshot.datasets.class_splits import hash_of, read_class_split
from fewshot.datasets.collection import Collection
from fewshot.datasets.formats import matlab
from fewshot.datasets.formats.image_caches import cache_pixels, read_caches
from fewshot.datasets.formats.matlab import read_mat
from fewshot.datasets.formats.pickles import texts, whole_numbers
from fewshot.datasets.unlabelled import load_items
from fewshot.embedded import Embedded
from fewshot.episodes import EpisodeSpec
from fewshot.errors import CheckpointError, DataError, FewShotError, FewShotWarning, RecipeError, RecordError
from fewshot.learners.metric.nearest_mean import NearestMean
from fewshot.plumbing.reading import in_one_sentence, of_form, reason
from fewshot.recipes.load import load_recipe
from fewshot.records.load import load_record
from fewshot.records.record import Record
from fewshot.records.zero_shot import Counts
from fewshot.training.episodic import EpisodicTraining, train


def test_an_error_is_one_line_that_every_terminal_shows():
    text = str(DataError("a name must be plain, got 'a\nb\x00\ud83d ä'; rename it"))
    assert text == "a name must be plain, got 'a\\nb\\x00\\ud83d ä'; rename it" and text.encode()
    long = str(DataError("a list must be short, got " + "1, " * 5000 + "; shorten it"))
    assert len(long) < 2100 and long.startswith("a list must") and long.endswith("; shorten it")


@pytest.mark.parametrize(
    ("found", "said"),
    [(KeyError("x"), "no 'x'"), (RecursionError(), "RecursionError"), (OSError("first\nsecond"), "first")],
)
def test_what_an_exception_says_in_one_line(found, said):
    assert reason(found) == said


def test_foreign_exceptions_become_one_sentence_and_ours_stay():
    with (
        pytest.raises(RecordError, match=r"^'a' must be whole, got: no 'x'; save it again$"),
        in_one_sentence("'a' must be whole", "save it again", RecordError),
    ):
        raise KeyError("x")
    with pytest.raises(CheckpointError, match=r"^mine$"), in_one_sentence("'a' must be whole", "save it again"):
        raise CheckpointError("mine")
    with pytest.raises(KeyboardInterrupt), in_one_sentence("'a' must be whole", "save it again"):
        raise KeyboardInterrupt
    with in_one_sentence("'a' must be whole", "save it again"):
        warnings.warn("a library speaks", UserWarning, stacklevel=1)


def test_forms_name_the_place():
    assert of_form(dict[str, list[int]], {"a": [1]}, "'a' must be whole", "save it again") == {"a": [1]}
    with pytest.raises(DataError, match=r"^'a' must be whole, got at 'a\.1': .*valid integer.*; save it again$"):
        of_form(dict[str, list[int]], {"a": [1, None]}, "'a' must be whole", "save it again")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name: a\x00b", "line 1: a recipe must be YAML, got unacceptable character"),
        (b"name: x\nabout: [" + b"[" * 3000, "must be a readable recipe, got: maximum recursion depth"),
        (b"name: x\nabout: \xff", "must be a readable recipe, got: .*utf-8"),
        (b"name: 2026-13-45", "must be a readable recipe, got: month must be in 1..12"),
        (b"name: &a [*a]", "'name': Input should be a valid string"),
    ],
)
def test_recipes(tmp_path, content, message):
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        load_recipe(str(tmp_path / "r.yaml"))


def test_keys_that_are_merged_in_do_not_stand_twice(tmp_path):
    parts = {part: (part,) for part in ("train", "val", "test")}
    text = f"base: &base {{rule: by name, train: [x]}}\n<<: *base\ntrain: [train]\nval: [val]\ntest: [test]\nsha256: {hash_of(parts)}\n"
    (tmp_path / "s.yaml").write_text(text)
    assert read_class_split(tmp_path / "s.yaml").parts["train"] == ("train",)
    (tmp_path / "s.yaml").write_text(yaml.safe_dump({"rule": "r", "train": "ab", "val": [], "test": [], "sha256": ""}))
    with pytest.raises(DataError, match=r"line 4: 'train': Input should be a valid list"):
        read_class_split(tmp_path / "s.yaml")


def test_matlab_files_are_read_by_another_process(tmp_path):
    path, cells = tmp_path / "a.mat", np.array([["ant"], ["bee"]], object)
    made = {
        "file": np.arange(6.0).reshape(2, 3),
        "names": cells,
        "flags": np.array([[True]]),
        "odd": {"a": 1},
        "text": "zebra",
    }
    savemat(path, made)
    found = read_mat(path)
    assert_array_equal(found["file"], made["file"])
    assert found["names"].ravel().tolist() == ["ant", "bee"] and found["text"].tolist() == ["zebra"]
    with pytest.raises(DataError, match=r"must hold numbers called 'odd', got the variables \['file', 'flags'"):
        matlab.numbers_of(found, "odd", path)
    path.write_bytes(path.read_bytes()[:150])
    with pytest.raises(DataError, match=r"must be a whole MATLAB file of version 7 or below, got: .*; save it again"):
        read_mat(path)


def test_a_matlab_file_that_ends_its_reader_is_refused_and_the_next_one_is_read(tmp_path, monkeypatch):
    savemat(tmp_path / "a.mat", {"x": np.eye(2)})
    read_mat(tmp_path / "a.mat")
    matlab._reader.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(matlab, "READER", "import os, sys; sys.stdin.readline(); os.abort()")
        with pytest.raises(DataError, match="got: bytes that end the process which reads them; save it again"):
            read_mat(tmp_path / "a.mat")
    assert_array_equal(read_mat(tmp_path / "a.mat")["x"], np.eye(2))


def test_the_reader_of_matlab_files_ends_with_its_user(tmp_path):
    savemat(tmp_path / "a.mat", {"x": np.eye(2)})
    code = "import sys; from pathlib import Path; from fewshot.datasets.formats import matlab as m; m.read_mat(Path(sys.argv[1])); print(m._reader.cache_info().currsize)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tmp_path / "a.mat"], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr, done.returncode) == ("1\n", "", 0)


@pytest.mark.parametrize("numbers", [[1.5, 2], [0, 1], [1, np.nan], [1, 1e300], [1, 4], []])
def test_numbers_that_count_from_one(numbers):
    with pytest.raises(DataError, match=r"labels must count from 1 to 3, got .*; add 1 if they count from 0"):
        matlab.from_one(np.array(numbers, float), 3, "labels")


@pytest.mark.parametrize("value", [[[1, 2], [3]], "x", None, [1.5], [2**70], {"a": 1}, [[1]], 3])
def test_whole_numbers_of_a_pickle(value):
    assert whole_numbers([1, 2], "rows", "p").tolist() == whole_numbers(np.array([1.0, 2.0]), "rows", "p").tolist()
    with pytest.raises(DataError, match=r"'p' must hold (a list of )?whole numbers in 'rows', got"):
        whole_numbers(value, "rows", "p")


def test_texts_of_a_pickle():
    assert texts([b"a", "b"], "names", "p") == ["a", "b"]
    for value in ("ab", None, [1], {"a": 1}):
        with pytest.raises(DataError, match="'p' must hold a list of texts in 'names', got"):
            texts(value, "names", "p")


@pytest.mark.parametrize("rows", [3, None, [[0], 1], ["x"], [0, 1.5]])
def test_rows_of_a_cache_of_images(tmp_path, rows):
    content = {"image_data": np.zeros((2, 4, 4, 3), np.uint8), "class_dict": {"a": rows}}
    (tmp_path / "p.pkl").write_bytes(old_pickle(content))
    with pytest.raises(DataError, match="whole numbers in 'class_dict'"):
        read_caches({"train": tmp_path / "p.pkl"})


def test_pickles_that_overflow(tmp_path):
    (tmp_path / "p.pkl").write_bytes(b"\x80\x02" + b"]" * 50000 + b"a" * 49999 + b".")
    (tmp_path / "q.pkl").write_bytes(b"\x80\x04\x8c\xff")
    (tmp_path / "r.pkl").write_bytes(pickle.dumps({"a": 1})[:-3])
    for name in ("q.pkl", "r.pkl"):
        with pytest.raises(DataError, match="must be a whole pickle of arrays, got"):
            read_caches({"train": tmp_path / name})


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776,), }",
        "{'descr': '<f4', 'fortran_order': (",
        "{'shape': ()}",
        "[" * 200,
    ],
)
def test_headers_of_arrays(tmp_path, header):
    whole = header.encode() + b" " * (118 - len(header)) + b"\n" if len(header) < 118 else header.encode()
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(whole)) + whole + bytes(64))
    for read in (load_dataset, load_items):
        with pytest.raises(
            DataError, match=r"must be a whole \.npz file without Python objects, got: .*; save it again"
        ):
            read(tmp_path / "a.npz")


def test_members_that_are_no_arrays(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"plain bytes")
    with pytest.raises(DataError, match=r"must hold arrays only, got other bytes in 'x'; save it again"):
        load_dataset(tmp_path / "a.npz")


def test_one_number_for_all_classes():
    with pytest.raises(DataError, match="groups must be 2, one for each item or class, got one alone"):
        Collection.from_arrays(np.eye(4, dtype=np.float32), [0, 1, 0, 1], groups=np.array(3))


def test_images_whose_inside_is_damaged(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.tif")
    whole = (tmp_path / "a.tif").read_bytes()
    for k in range(0, len(whole), 61):
        (tmp_path / "a.tif").write_bytes(whole[:k] + b"\xff" * 8 + whole[k + 8 :])
        try:
            load_items(tmp_path / "a.tif", size=8)
        except DataError as error:
            assert "a.tif' must be a whole image file, got" in str(error)


def changed(place, value):
    """The JSON of a record with another value at a place such as ``"episodes.spec.shots"``."""
    content = json.loads(json.dumps(record().as_json()))
    *path, last = place.split(".")
    inner = content
    for key in path:
        inner = inner[key]
    inner[last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("episodes.spec.shots", 3), ("episodes.spec.shots", []), ("episodes.way", []), ("episodes.shot", -1), ("episodes.count", 3),
        ("correct", [3, 5, 4]), ("correct", [3, 5, 4, 7]), ("correct", [3, 5, 4, -1]), ("correct", []), ("queries", 0), ("queries", [6, 6]),
        ("summary.level", 95), ("data.items", 10**30), ("episodes.spec.open_way", "1"),
    ],
)  # fmt: skip
def test_records_whose_counts_do_not_fit(tmp_path, place, value):
    (tmp_path / "r.json").write_text(json.dumps(changed(place, value)))
    with pytest.raises(
        RecordError, match=r"r\.json' must be a whole record, got at '.*'; run it again|got at '.*': .*; run it again"
    ):
        Record.load(tmp_path / "r.json")


@pytest.mark.parametrize("name", ["..", "", "../r.npz", "a/b.npz", "a\x00.npz"])
def test_answers_lie_beside_their_record(tmp_path, name):
    (tmp_path / "r.json").write_text(json.dumps(changed("answers", {"file": name, "hash": "0"})))
    with pytest.raises(RecordError, match=r"got at 'answers\.file': answers lie beside their record"):
        Record.load(tmp_path / "r.json")


def test_answers_are_those_that_the_record_counts(tmp_path):
    record().save(tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "r.json").write_text(json.dumps(content | {"correct": [4, 4, 4, 4]}))
    with pytest.raises(
        RecordError, match=r"must have the right ones that the record counts, got 16 where it has 16; run it again"
    ):
        Record.load(tmp_path / "r.json").load_answers(tmp_path)


def test_json_that_is_too_deep(tmp_path):
    (tmp_path / "r.json").write_text('{"a":' * 100_000)
    with pytest.raises(RecordError, match="must be a record in JSON, got: maximum recursion depth exceeded"):
        load_record(tmp_path / "r.json")


@pytest.mark.parametrize(
    "counts",
    [{"items": [4]}, {"correct": [5, 0]}, {"answers": "zz"}, {"answers": "ff"}, {"answers": "f0ff"}, {"items": [0, 8]}],
)
def test_counts_of_zero_shot_records(counts):
    whole = {"classes": ["a", "b"], "correct": [2, 2], "items": [4, 4], "answers": "cc"}
    assert Counts(**whole).counts.correct.tolist() == [2, 2]
    with pytest.raises(ValueError, match=r"counts|answers must|every class"):
        Counts(**whole | counts)


@pytest.fixture
def saved(tmp_path):
    """A saved classifier, and a way to change its JSON and its tensors."""
    rng = np.random.default_rng(0)
    path = tmp_path / "c.safetensors"
    FewShotClassifier("none", "nearest-mean").fit(rng.normal(size=(6, 3)), list("aabbcc")).save(path)
    with safe_open(path, "pt") as file:
        tensors, content = {"items": file.get_tensor("items")}, json.loads(file.metadata()["fewshot-classifier"])
    content |= {"schema": 2}  # the last that had no hash
    del content["columns"]

    def change(**other):
        path.write_bytes(save(tensors | other.pop("tensors", {}), {"fewshot-classifier": json.dumps(content | other)}))
        return path

    return change


def test_a_classifier_without_a_hash_loads(saved):
    assert FewShotClassifier.load(saved()).classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"labels": {"dtype": "<U1", "values": [1] * 6}}, {"labels": {"dtype": "O8", "values": []}}, {"labels": {"dtype": "<i8", "values": [[]]}},
        {"calibration": 3}, {"kind": "sounds"}, {"parameters": {}}, {"texts": [1]}, {"described": {"labels": None, "texts": None}},
        {"calibration": {"temperature": -1.0, "right": 0, "asked": 0}}, {"declared": {"dtype": "<U1", "values": [1]}},
        {"versions": 3}, {"parameters": {"seed": 2**70}},
    ],
)  # fmt: skip
def test_saved_classifiers_of_another_form(saved, other):
    with pytest.raises(DataError, match=r"c\.safetensors' must be a whole saved classifier, got .*; save it again"):
        FewShotClassifier.load(saved(**other))


@pytest.mark.parametrize(
    "items", [torch.zeros(5, 3), torch.zeros(6, 3, dtype=torch.int64), torch.full((6, 3), torch.nan), torch.zeros(6)]
)
def test_saved_classifiers_with_other_rows(saved, items):
    with pytest.raises(DataError, match=r"c\.safetensors' must be a whole saved classifier, got"):
        FewShotClassifier.load(saved(tensors={"items": items}))


@pytest.mark.parametrize("facts", ["[]", '{"classes_seen": 3}', '{"classes_seen": ["a", null]}', "{"])
def test_facts_beside_weights(tmp_path, facts):
    network = nn.Linear(2, 2)
    (tmp_path / "w.safetensors").write_bytes(save(dict(network.state_dict()), {"fewshot": facts}))
    with pytest.raises(DataError, match="must be a whole file with nothing but tensors, got"):
        load_weights(tmp_path / "w.safetensors", network)


def test_weights_of_another_kind_of_number(tmp_path):
    network = nn.Linear(2, 2)
    (tmp_path / "w.safetensors").write_bytes(
        save({"weight": torch.ones(2, 2, dtype=torch.int64), "bias": torch.zeros(2)})
    )
    with pytest.raises(DataError, match=r"got 'weight' of torch.int64 for torch.float32"):
        load_weights(tmp_path / "w.safetensors", network)
    (tmp_path / "w.safetensors").write_bytes(
        save({"weight": torch.ones(2, 2, dtype=torch.float16), "bias": torch.zeros(2)})
    )
    load_weights(tmp_path / "w.safetensors", network)
    assert network.weight.dtype == torch.float32 and bool((network.weight == 1).all())


@pytest.fixture
def checkpoint(tmp_path):
    """A run of two steps, and a way to change its checkpoint as one without a hash."""
    data = Collection.from_arrays(np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32), ["a", "b", "c"] * 4)
    path = tmp_path / "c.safetensors"

    def run(steps=2):
        torch.manual_seed(0)
        learner = Embedded(nn.Linear(3, 2), NearestMean())
        settings = EpisodicTraining(steps=steps, spec=EpisodeSpec(2, 1, 1), save_every=1)
        return train(learner, data, settings, checkpoint=path), learner

    run()
    with safe_open(path, "pt") as file:
        tensors, progress = {k: file.get_tensor(k) for k in file.keys()}, json.loads(file.metadata()["fewshot"])  # noqa: SIM118

    def change(without=(), more=None, **other):
        kept = {name: value for name, value in tensors.items() if name not in without} | (more or {})
        path.write_bytes(save(kept, {"fewshot": json.dumps(progress | other)}))
        return run

    return change


def test_a_checkpoint_without_a_hash_resumes(checkpoint):
    assert checkpoint()()[0].step == 2


@pytest.mark.parametrize(
    "other",
    [
        {"step": "2"}, {"step": 1}, {"threads": 0}, {"losses": [1.0]}, {"losses": None}, {"validations": [[1]]}, {"validations": [3]}, {"validations": [[float("nan"), 0.5]]},
        {"rates": {}}, {"seconds": -1}, {"more": {"optimizer.9.step": torch.zeros(())}}, {"more": {"optimizer.x.step": torch.zeros(())}},
        {"more": {"optimizer.0.exp_avg": torch.zeros(5)}}, {"more": {"best.x": torch.zeros(2)}}, {"without": ("weights.backbone.bias",)},
        {"more": {"weights.backbone.bias": torch.zeros(2, dtype=torch.int64)}},
    ],
)  # fmt: skip
def test_damaged_checkpoints_restore_nothing(checkpoint, other):
    threads = torch.get_num_threads()
    with pytest.raises(
        CheckpointError,
        match=r"must (be a whole checkpoint|have a loss and a rate)|'; delete it to start anew|; delete it",
    ):
        checkpoint(**other)()
    assert torch.get_num_threads() == threads


def test_warnings_of_this_package_are_no_errors_of_its_own():
    assert issubclass(FewShotWarning, Warning) and not issubclass(FewShotWarning, FewShotError)


def test_halves_of_a_letter_are_refused_in_a_sentence(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text('name: mine\ndata: "\\ud83d"\nbackbone: pixels\n')
    with pytest.raises(RecipeError, match=r"own\.yaml', line 2: a recipe must be Unicode text, got '\\ud83d'"):
        load_recipe(str(path))
    path.write_text('name: mine\n"\\ud83d": 1\n')
    with pytest.raises(RecipeError, match="line 2: a recipe must be Unicode text"):
        load_recipe(str(path))
    x, y = np.eye(2, dtype=np.float32), np.arange(2)
    with pytest.raises(DataError, match=r"class names must be Unicode text, got 'a\\udce9'; write the letters"):
        Collection(x, y, ("a\udce9", "b"))
    beyond = np.frombuffer(np.array([97, 0x200000], np.uint32).tobytes(), "<U2").tolist()[0]
    with pytest.raises(DataError, match=r"class names must be Unicode text, got 'a\\U00200000'; write the letters"):
        Collection(x, y, (beyond, "b"))
    with pytest.raises(DataError, match="names of splits must be Unicode text"):
        Collection(x, y, ("a", "b"), splits={"\ud83d": y})


def test_a_sentence_of_ours_about_half_a_letter_can_be_printed():
    def refuse(value):
        raise ValueError(f"no such name: {value}")

    form = Annotated[str, BeforeValidator(refuse)]
    with pytest.raises(DataError, match=r"must hold names, got text that is not Unicode, '\\ud83d'; save it again"):
        of_form(form, "\ud83d", "it must hold names", "save it again")


def test_images_whose_type_has_an_order_of_bytes_are_images(tmp_path, own_cache):
    """A pickle may give the order of one byte: equal to plain uint8, and strange to Pillow."""
    path = tmp_path / "a.pkl"
    plain = np.random.default_rng(0).integers(0, 256, (2, 84, 84, 3), np.uint8)
    dump = pickle.dumps({"image_data": plain, "class_dict": {"a": [0], "b": [1]}}, protocol=2)
    path.write_bytes(dump.replace(b"X\x01\x00\x00\x00|", b"X\x01\x00\x00\x00<"))
    assert path.read_bytes() != dump
    assert_array_equal(cache_pixels("a", {"train": path}, 2, "none", 84), plain.transpose(0, 3, 1, 2))


def test_images_without_pixels_are_refused(tmp_path):
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps({"image_data": np.zeros((1, 0, 84, 3), np.uint8), "class_dict": {"a": [0]}}))
    with pytest.raises(
        DataError, match=r"must hold 'image_data' as uint8 .*, got uint8\(1, 0, 84, 3\); fetch it again"
    ):
        read_caches({"train": path})
