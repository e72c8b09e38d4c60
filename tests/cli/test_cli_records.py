"""``compare``, ``show``, ``verify``, ``list``, ``run``, ``download`` and ``quickstart`` of the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
from cli import as_json, call, refused, write_shapes
from records import record

from fewshot.records.compare import compare
from fewshot.records.record import Record

ASKED = ("--way", 3, "--shot", 1, "--query", 5, "--episodes", 60, "--out", "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with data and the records of two learners, made once; each test gets a copy."""
    folder = tmp_path_factory.mktemp("made")
    write_shapes(folder / "shapes.npz")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FEWSHOT_CACHE", str(folder / "cache"))
        for options in ((), ("--option", "metric=cosine")):
            call("evaluate", "--data", "shapes.npz", "--learner", "nearest-mean", *options, *ASKED)
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch, own_cache):
    """The current folder, with ``shapes.npz`` and two records in ``out``."""
    import shutil

    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def paths(folder):
    return sorted((folder / "out").glob("*.json"))


def paths_in(folder):
    files = sorted(Path(folder).glob("*.json"))
    assert files
    return files


def forge(path, **change):
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | change))


def test_a_comparison_is_that_of_the_library(folder):
    first, second = paths(folder)
    found = as_json("compare", second, first)
    (own,) = compare({"a": Record.load(second), "b": Record.load(first)}, "a")
    (only,) = found["comparisons"]
    assert found["reference"] == second.stem and only["name"] == first.stem
    assert only["difference"]["estimate"] == pytest.approx(own.difference.estimate) and only["p_value"] is None
    assert set(found["records"]) == {first.stem, second.stem}


def test_the_reference_may_be_named_by_name_or_path(folder):
    second = paths(folder)[1]
    for name in (second.stem, second):
        assert as_json("compare", "out", "--reference", name)["reference"] == second.stem
    assert "did you mean" in refused("compare", "out", "--reference", second.stem[:-1])
    assert f"did you mean '{paths(folder)[0].stem}'" in refused("compare", "out", "--reference", "neerest")


def test_records_of_one_name_are_told_apart_by_path(folder):
    (folder / "a").mkdir(), (folder / "b").mkdir()
    for name in "ab":
        record().save(folder / name / "mine.json")
    assert set(as_json("compare", "a/mine.json", "b/mine.json")["records"]) == {"a/mine.json", "b/mine.json"}


def test_other_json_in_a_folder_is_passed_over_but_torn_json_is_not(folder):
    (folder / "out" / "summary.json").write_text('{"rows": []}')
    assert len(as_json("compare", "out")["records"]) == 2
    (folder / "out" / "torn.json").write_text('{"schema": 1,')
    assert "torn.json" in refused("compare", "out")


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ((), "at least two records, got 1"),
        (("two.json",), "only on the same episodes"),
        (("none.json",), "'none.json' must be a record in JSON, got nothing there; check the path"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder, others, message):
    record().save(folder / "one.json")
    record(manifest="m2").save(folder / "two.json")
    assert message in refused("compare", "one.json", *others)


def test_a_folder_without_records_stands_for_those_of_its_folders(folder):
    assert len(as_json("compare", ".")["records"]) == 2
    record(manifest="m2").save(folder / "one.json")
    assert len(as_json("verify", ".", code=2)) == 1  # it has one of its own now


def test_few_shot_and_zero_shot_records_are_compared_apart(folder, request):
    zero_shot = request.config.rootpath / "benchmarks" / "results" / "awa1-gzsl" / "awa1-gzsl-proposed-dap.json"
    assert "all be of few-shot or all of zero-shot learning" in refused("compare", "out", zero_shot)


def test_an_empty_folder_and_a_wild_level_are_refused(folder):
    (folder / "empty").mkdir()
    assert "got a folder without any" in refused("compare", "empty")
    assert "between 0 and 1, got 2" in refused("compare", "out", "--level", 2)


def test_show_prints_every_part(folder):
    out = call("show", paths(folder)[0], "--per-class", "--confusion").stdout
    for part in (
        "5th percentile",
        "calibration",
        "these episodes' images",
        "new classes",
        "true \\ answer",
        "manifest",
    ):
        assert part in out


def test_show_as_json_is_the_record_and_numbers_of_classes(folder):
    path = paths(folder)[0]
    assert as_json("show", path) == json.loads(path.read_text())
    shown = as_json("show", path, "--confusion")
    counts = np.array(shown["confusion"])
    assert counts.sum() == 60 * 15 and counts.trace() == sum(shown["correct"])
    assert shown["classes"] == [str(k) for k in range(7)]
    np.testing.assert_allclose(shown["per_class"], counts.diagonal() / counts.sum(1))


def test_without_the_data_classes_go_by_number(folder):
    (folder / "shapes.npz").unlink()
    result = call("show", paths(folder)[0], "--per-class")
    assert "by number" in result.stderr and "accuracy %" in result.stdout
    write_shapes(folder / "shapes.npz", spread=2.0)
    assert "changed since" in call("show", paths(folder)[0], "--per-class").stderr


def test_without_the_answers_classes_cannot_be_shown(folder):
    path = paths(folder)[0]
    (path.parent / json.loads(path.read_text())["answers"]["file"]).unlink()
    call("show", path)
    assert "answers of the record must lie beside it" in refused("show", path, "--per-class")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"schema": 999}', "of schema 2 or older, got 999; update fewshot"),
        ('{"schema": "1"}', "a whole number from 1 to 2, got '1'; run it again with --again"),
        ('{"schema": 0}', "a whole number from 1 to 2, got 0; run it again with --again"),
        ('{"schema": true}', "a whole number from 1 to 2, got True; run it again with --again"),
        ("{", "JSON"),
        ("[]", "'bad.json' is no record of episodes, got JSON without 'schema', 'learner'"),
        ('{"audit": 1, "data": "x"}', "no record of episodes"),
        ('{"schema": 1, "learner": {}}', "is no record of episodes, got JSON without 'data', 'episodes', 'correct'"),
        (
            '{"schema": 1, "learner": {}, "data": {}, "episodes": {}, "correct": []}',
            "must be a whole record, got at 'learner.name'",
        ),
    ],
)
def test_what_is_no_record_is_refused(folder, text, message):
    (folder / "bad.json").write_text(text)
    for command in ("show", "compare"):
        assert message in refused(command, "bad.json")
    assert message in as_json("verify", "bad.json", code=2)[0]["problems"][0]


def test_show_takes_a_folder_as_the_others_do(folder):
    first, second = paths(folder)
    assert (
        as_json("show", "out") == as_json("show", second, first)[::-1] == [as_json("show", p) for p in (first, second)]
    )
    told = call("show", "out", "--confusion").stdout
    assert told.index(f"out/{first.name}") < told.index(f"out/{second.name}") and told.count("true \\ answer") == 2
    assert first.name not in call("show", first).stdout.splitlines()[0]
    second.unlink()
    assert len(as_json("show", "out")) == 1  # a list, however many there are


def test_nothing_there_is_said_so(folder):
    for command in ("show", "report", "compare"):
        assert "'nowhere' must be a record in JSON, got nothing there; check the path" in refused(command, "nowhere")
    assert "nothing there" in as_json("verify", "nowhere", code=2)[0]["problems"][0]


def test_other_json_with_a_schema_is_passed_over_in_a_folder_but_not_by_hand(folder, request):
    import shutil

    results = request.config.rootpath / "benchmarks" / "results"
    for name in ("own-data.json", "coverage.json"):
        shutil.copy(results / name, folder / "out" / name)
        assert "is no record of episodes" in refused("show", f"out/{name}")
    assert (
        len(as_json("compare", "out")["records"]) == len(as_json("verify", "out")) == len(as_json("show", "out")) == 2
    )


def test_every_kept_record_is_taken_for_one(request):
    from fewshot.cli.terminal.reading import record_files

    results = request.config.rootpath / "benchmarks" / "results"
    kept = {*results.glob("*/*.json"), *results.glob("omniglot-protonet-*w*s*.json")}
    assert kept <= {*record_files([results]), *record_files(sorted({path.parent for path in kept} - {results}))}


def answers_of(path):
    return path.with_name(json.loads(path.read_text())["answers"]["file"])


def test_verify_needs_the_answers_unless_they_were_not_kept(folder):
    first, second = paths(folder)
    answers_of(first).unlink()
    found = as_json("verify", "out", code=1)
    assert [f["outcome"] for f in found] == ["fails", "holds"]
    assert "must lie beside it, got no file" in found[0]["problems"][0] and "--again" in found[0]["problems"][0]
    found = as_json("verify", "out", "--without-answers")
    assert [f["outcome"] for f in found] == ["holds", "holds"] and len(found[0]["episodes"]) == 50
    answers_of(second).rename(answers_of(first))
    found = as_json("verify", "out", code=1)
    assert [f["outcome"] for f in found] == ["fails", "fails"] and "got another content" in found[0]["problems"][0]
    (folder / "shapes.npz").unlink()
    assert [f["outcome"] for f in as_json("verify", "out", code=1)] == ["fails", "fails"]


def test_an_evaluation_is_done_when_its_answers_are_whole(folder):
    asked = ("evaluate", "--data", "shapes.npz", "--learner", "nearest-mean", *ASKED)
    path = next(p for p in paths(folder) if "cosine" not in json.dumps(json.loads(p.read_text())["settings"]))
    before = answers_of(path).read_bytes()
    assert "already done" in call(*asked).stderr
    answers_of(path).write_bytes(before[:-1])
    told = call(*asked).stderr
    assert "not done: " in told and "already done" not in told
    assert answers_of(path).read_bytes() == before
    path.write_text(path.read_text()[:-20])
    assert "run it again with --again" in refused(*asked)
    call(*asked, "--again")
    assert "already done" in call(*asked).stderr and len(list((folder / "out").iterdir())) == 4


def test_where_the_results_shall_go_is_tried_before_the_work(folder, monkeypatch):
    from fewshot.cli import classify
    from fewshot.cli.objects import judge

    monkeypatch.setattr(judge, "judge", lambda *given: pytest.fail("evaluated"))
    monkeypatch.setattr(classify, "_read", lambda *given: pytest.fail("fitted"))
    (folder / "file").touch()
    asked = ("evaluate", "--data", "shapes.npz", "--learner", "ridge")
    assert "'file/below' must be writable, got the file 'file' where a folder should be" in refused(
        *asked, "--out", "file/below"
    )
    for option in ("--csv", "--save"):
        assert "must be writable" in refused("classify", "shapes.npz", "shapes.npz", option, "file/a.safetensors")
    (folder / "a.csv").mkdir()
    assert "'a.csv' must be a file to write, got a folder" in refused(
        "classify", "shapes.npz", "shapes.npz", "--csv", "a.csv"
    )


def test_verify_finds_forged_counts_in_one_of_many(folder):
    forged, sound = paths(folder)
    forge(forged, correct=[15] * 60)
    found = as_json("verify", forged, sound, code=1)
    assert [f["outcome"] for f in found] == ["fails", "holds"]
    assert len(found[0]["different"]) > 30 and "mean of the counts" in found[0]["problems"][0]
    text = call("verify", forged, sound, "--episodes", 10, code=1).stdout
    assert "fails" in text and "holds" in text


def test_verify_finds_other_options(folder):
    path = paths(folder)[0]
    content = json.loads(path.read_text())
    options = {} if content["learner"]["options"] else {"metric": "cosine"}
    forge(path, learner=content["learner"] | {"options": options})
    assert as_json("verify", path, code=1)[0]["outcome"] == "fails"


def test_verify_finds_another_seed(folder):
    path = paths(folder)[0]
    forge(path, episodes=json.loads(path.read_text())["episodes"] | {"seed": 9})
    assert "manifest" in as_json("verify", path, code=1)[0]["problems"][0]


def test_verify_says_when_data_or_weights_are_not_here(folder):
    path = paths(folder)[0]
    forge(path, backbone={"name": "pixels", "fingerprint": "another"})
    assert "the very backbone" in as_json("verify", path, code=2)[0]["problems"][0]
    write_shapes(folder / "shapes.npz", spread=2.0)
    found = as_json("verify", *paths(folder), code=2)
    assert "very items" in found[1]["problems"][0] and {f["outcome"] for f in found} == {"not checked"}
    (folder / "shapes.npz").unlink()
    assert "nothing there" in call("verify", *paths(folder), code=2).stderr


@pytest.mark.parametrize("kind", ["datasets", "learners", "backbones", "recipes"])
def test_lists_have_a_line_about_each(kind):
    found = as_json("list", kind)
    assert found and all(entry["name"] and entry["about"] for entry in found)
    printed = call("list", kind).stdout
    assert all(entry["name"] in printed for entry in found)


def test_lists_hold_every_name_and_every_learner_has_a_family():
    from fewshot.backbones.index import BACKBONES
    from fewshot.datasets.index import DATASETS
    from fewshot.learners.index import LEARNERS

    for kind, index in (("datasets", DATASETS), ("learners", LEARNERS), ("backbones", BACKBONES)):
        assert set(index) <= {entry["name"] for entry in as_json("list", kind)}
    learners = as_json("list", "learners")
    assert all(entry["family"] and entry["paper"] for entry in learners)
    said = {entry["name"]: entry["transductive"] for entry in learners}
    assert (said["tim-gd"], said["nearest-mean"], said["maml"]) == (True, False, "by batch norm")
    assert all(said[name] in (True, False, "by batch norm") for name in said)
    assert "Snell et al. 2017" in call("list", "learners").stdout


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        ("datasets", ["name", "about"]),
        ("recipes", ["name", "about"]),
        ("backbones", ["name", "family", "about"]),
        ("learners", ["name", "family", "transductive", "paper", "about"]),
    ],
)
def test_a_column_in_which_nothing_stands_is_left_out(kind, columns):
    assert call("list", kind).stdout.splitlines()[0].split() == columns


def test_the_line_about_a_recipe_makes_no_record_stale(recipe, tmp_path):
    call("run", recipe, "--out", "made")
    (tmp_path / recipe).write_text(RECIPE.replace("nearest mean on digits", "said better"))
    assert "already done" in call("run", recipe, "--out", "made").stderr


def test_a_family_is_a_part_of_the_list():
    metric = as_json("list", "learners", "--family", "metric")
    assert {"nearest-mean", "protonet"} <= {entry["name"] for entry in metric} and len(metric) < len(
        as_json("list", "learners")
    )
    assert as_json("list", "backbones", "--family", "timm")[0]["name"] == "timm:MODEL"
    assert "did you mean 'metric'" in refused("list", "learners", "--family", "metrics")
    assert "'learner'" in refused("list", "learner")


RECIPE = """
name: tiny
about: nearest mean on digits
data: digits
learner: nearest-mean
backbone: pixels
evaluation:
  split: null
  episodes: 20
  query: 5
  open_interval: false
  rows:
    - {way: 3, shot: 1}
    - {way: 3, shot: 5, learner_options: {metric: cosine}}
"""


@pytest.fixture
def recipe(tmp_path, monkeypatch, own_cache):
    """A recipe without training, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(RECIPE)
    return "tiny.yaml"


def test_a_recipe_runs_is_read_again_and_verifies(recipe):
    first = as_json("run", recipe, "--out", "made")
    assert [r["episodes"]["shot"] for r in first] == [1, 5] and [r["recipe"] for r in first] == ["tiny", "tiny"]
    again = call("run", recipe, "--out", "made")
    assert "already done" in again.stderr and all(f"\n{p.stem}" in again.stdout for p in paths_in("made"))
    assert [f["outcome"] for f in as_json("verify", "made")] == ["holds", "holds"]
    assert as_json("run", recipe, "--set", "evaluation.episodes=5", "--out", "less")[0]["episodes"]["count"] == 5


def test_a_changed_value_never_replaces_a_record_unasked(recipe, tmp_path):
    call("run", recipe, "--out", "made")
    before = {path.name: path.read_bytes() for path in paths_in("made")}
    fewer = ("run", recipe, "--set", "evaluation.episodes=5", "--out", "made")
    told = refused(*fewer)
    assert "'tiny-3w1s.json' of others in 'made'; give another folder with --out, or --again" in told
    assert {path.name: path.read_bytes() for path in paths_in("made")} == before
    assert {record["episodes"]["count"] for record in as_json(*fewer, "--again")} == {5}
    assert "already done" in call(*fewer).stderr  # its own records are no others
    (tmp_path / recipe).write_text(RECIPE.replace("episodes: 20", "episodes: 6"))
    assert {record["episodes"]["count"] for record in as_json("run", recipe, "--out", "made")} == {6}


def test_a_row_is_done_when_its_answers_are_whole(recipe, tmp_path):
    call("run", recipe, "--out", "made")
    first, second = paths_in("made")
    answers_of(second).unlink()
    told = call("run", recipe, "--out", "made").stderr
    assert f"evaluating {second.stem}" in told and f"evaluating {first.stem}" not in told
    assert "already done" in call("run", recipe, "--out", "made").stderr
    answers_of(first).unlink()  # its settings are the same, so that is no other record
    assert len(as_json("run", recipe, "--out", "made", "--set", "about=x")) == 2


def test_a_row_that_another_run_writes_meanwhile_stays(recipe, tmp_path, monkeypatch):
    from fewshot.recipes import few_shot as module

    call("run", recipe, "--out", "other", "--set", "evaluation.episodes=5")
    judged = module.judge_row

    def meanwhile(one, row, *given, **more):
        made = judged(one, row, *given, **more)
        Record.load(f"other/{module.row_name(one, row)}.json").save(f"made/{module.row_name(one, row)}.json")
        return made

    monkeypatch.setattr(module, "judge_row", meanwhile)
    told = call("run", recipe, "--out", "made", code=2).stderr
    assert "error: 'made/tiny-3w1s.json' must be as it was when this run began" in told
    assert Record.load("made/tiny-3w1s.json").episodes.count == 5


def test_one_of_many_that_is_not_asked_for_is_in_nobodys_way(recipe, tmp_path):
    many = "learners: [{learner: nearest-mean}, {learner: ridge}]"
    (tmp_path / recipe).write_text(
        RECIPE.replace("learner: nearest-mean", many).replace(", learner_options: {metric: cosine}", "")
    )
    call("run", recipe, "--out", "made", "--only", "ridge")
    fewer = ("run", recipe, "--set", "evaluation.episodes=5", "--out", "made", "--only")
    assert "tiny-ridge-3w1s.json" in refused(*fewer, "ridge")
    assert len(as_json(*fewer, "nearest-mean")) == 2


def test_nothing_is_trained_before_a_refusal(recipe, tmp_path, monkeypatch):
    from fewshot.recipes import few_shot as module

    call("run", recipe, "--out", "made")
    monkeypatch.setattr(module, "trained", lambda *given: pytest.fail("trained"))
    assert "of other settings" in refused("run", recipe, "--out", "made", "--set", "evaluation.seed=1")
    for split, message in (("test", "got 'test'; digits has no splits"), ("tset", "got 'tset'")):
        (tmp_path / "split.yaml").write_text(RECIPE.replace("split: null", f"split: {split}"))
        result = call("run", "split.yaml", code=2)
        assert f"error: 'split.yaml', 'evaluation.split': the split must be left out, {message}" in result.stderr
        assert "evaluating" not in result.stderr


TRAINED = (
    RECIPE.replace("nearest-mean", "protonet").replace("pixels", "conv4").replace("split: null", "split: test")
    .replace("{way: 3, shot: 5, learner_options: {metric: cosine}}", "{way: 3, shot: 5}")
    + "training: {split: train, way: 3, shot: 1, query: 2, episodes: 4, validate_every: 2, save_every: 2}\n"
)  # fmt: skip


def test_a_trained_recipe_verifies_from_its_checkpoint_and_not_without(recipe, tmp_path, monkeypatch):
    from fewshot.datasets import index
    from fewshot.datasets.named.digits import load_digits_strokes

    def load():
        from dataclasses import replace

        whole = load_digits_strokes()
        base = whole.labels < 5
        return replace(whole, splits={"train": np.flatnonzero(base), "test": np.flatnonzero(~base)})

    module = type(json)("test_cli_records_names")
    module.load = load
    monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
    monkeypatch.setitem(index.DATASETS, "digits", "test_cli_records_names:load")
    (tmp_path / recipe).write_text(TRAINED)
    call("run", recipe, "--out", "made")
    assert {f["outcome"] for f in as_json("verify", "made")} == {"holds"}
    (checkpoint,) = (tmp_path / "cache" / "checkpoints").glob("*.safetensors")
    checkpoint.unlink()
    assert as_json("verify", "made", code=2)[0]["problems"][0].endswith("run: fewshot-bench run tiny")


def test_the_command_that_makes_trained_weights_names_the_one_learner(recipe, tmp_path):
    from fewshot.errors import MissingDataError
    from fewshot.recipes.load import load_recipe
    from fewshot.recipes.rebuild import rebuild_learner
    from fewshot.recipes.rows import resolved

    head, training = TRAINED.split("training: ")
    many = f"learners: [{{learner: ridge}}, {{label: my net, learner: protonet, training: {training.strip()}}}]\n"
    (tmp_path / recipe).write_text(head.replace("learner: protonet\n", many))
    one = load_recipe(recipe).singles()[1]
    made = record(settings=resolved(one, one.evaluation.rows[0]), recipe="tiny")
    with pytest.raises(MissingDataError, match=r"run: fewshot-bench run tiny --only 'my net'$"):
        rebuild_learner(made)


def test_a_head_that_was_trained_on_shipped_weights_does_not_come_along_with_them(request, own_cache):
    from fewshot.errors import MissingDataError
    from fewshot.recipes.rebuild import rebuild_learner

    folder = request.config.rootpath / "benchmarks" / "results" / "feature-learners-omniglot"
    with pytest.raises(MissingDataError, match=r"--only feat$"):
        rebuild_learner(Record.load(folder / "feature-learners-omniglot-feat-5w1s.json"))


def test_the_page_on_recipes_names_every_recipe_whose_records_need_training_to_be_verified(request):
    from fewshot.backbones.index import load_backbone

    root, shipped = request.config.rootpath, load_backbone("conv4-omniglot").fingerprint()
    told = (root / "docs" / "recipes.md").read_text("utf-8").split("**After training**")[1].split("\n\n")[0]
    need = set()
    for path in (root / "benchmarks" / "results").rglob("*.json"):
        content = json.loads(path.read_text("utf-8"))
        settings = content.get("settings") or {}
        if settings.get("pretraining") or settings.get("training"):
            along = (content["backbone"] or {}).get("fingerprint") == shipped and not settings.get("freeze_backbone")
            need |= set() if along else {content["recipe"]}
    assert set(told.split("`")[1::2]) - {"verify"} == need


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no-such-recipe",), "recipe must be a known name"),
        (("nowhere.yaml",), "nothing there"),
        (("tiny.yaml", "--set", "episodes"), "key=value"),
        (("tiny.yaml", "--set", "lerner=x"), "did you mean 'learner'"),
        (("torn.yaml",), "must be YAML"),
        (("typo.yaml",), "did you mean 'learner'"),
    ],
)
def test_a_bad_recipe_is_told_in_one_sentence(recipe, tmp_path, arguments, message):
    (tmp_path / "torn.yaml").write_text("learner: [nearest-mean\n")
    (tmp_path / "typo.yaml").write_text("lerner: nearest-mean\n")
    assert message in refused("run", *arguments)


def test_download_needs_a_folder_and_a_name_and_a_network(tmp_path, monkeypatch):
    monkeypatch.delenv("FEWSHOT_DATA", raising=False)
    assert "neither --root nor $FEWSHOT_DATA" in refused("download", "omniglot")
    assert "dataset to download" in refused("download", "nothing", "--root", tmp_path)
    told = refused("download", "omniglot", "--root", tmp_path / "new", "--from", f"file://{tmp_path}/nowhere")
    assert "must be reachable" in told and not list((tmp_path / "new").iterdir())


def test_download_says_where_the_data_are(tmp_path, monkeypatch):
    from fewshot.datasets import download as module

    called = []
    monkeypatch.setattr(module, "download", lambda *given: called.append(given) or tmp_path / "omniglot")
    monkeypatch.setenv("FEWSHOT_DATA", str(tmp_path))
    assert as_json("download", "omniglot", "--from", "file:///m") == {
        "name": "omniglot",
        "folder": str(tmp_path / "omniglot"),
    }
    assert called == [("omniglot", str(tmp_path), "file:///m")]


def test_quickstart_hands_over_folder_and_form(monkeypatch, tmp_path):
    from fewshot.cli import quickstart as module

    called = []
    monkeypatch.setattr(module, "quickstart", lambda out, as_json: called.append((str(out), as_json)))
    call("quickstart")
    call("quickstart", "--out", tmp_path, "--json")
    assert called == [("fewshot-results/quickstart", False), (str(tmp_path), True)]
