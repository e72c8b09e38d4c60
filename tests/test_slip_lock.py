"""The lock of planted wrong formulas opens when anything changes that a file of tests depends on, and for nothing else."""

from types import SimpleNamespace

import pytest
import slip_hooks
import slip_lock

FILES = {
    "tests/conftest.py": "",
    "tests/test_one.py": "from helper import case\nfrom fewshot.learner import Learner\n",
    "tests/shared/helper.py": "def case():\n    import fewshot.cases.small as cases\n    return cases\n",
    "fewshot/__init__.py": "INDEX = {'Other': 'fewshot.other'}\n",
    "fewshot/learner.py": "from fewshot.index import LEARNERS\n",
    "fewshot/index.py": "LEARNERS = {'named': 'family.named:Named'}\n",
    "fewshot/learners/family/named.py": "import torch\n",
    "fewshot/cases/__init__.py": "",
    "fewshot/cases/small.py": "",
    "fewshot/other.py": "",
}
BESIDE = {"fewshot/alone.py": "", "tests/test_two.py": "import fewshot.learner\n", "torch/__init__.py": ""}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A package and its tests; the function changes one of its files."""

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        slip_lock.named_in.cache_clear()
        slip_lock.file_of.cache_clear()

    for name, text in (FILES | BESIDE).items():
        write(name, text)
    monkeypatch.setattr(slip_lock, "PACKAGE", tmp_path / "fewshot")
    monkeypatch.setattr(slip_lock, "TESTS", tmp_path / "tests")
    monkeypatch.setattr(slip_lock, "LOCK", tmp_path / "tests/slips.lock")
    monkeypatch.setattr(slip_lock, "HELPERS", [tmp_path / "tests/shared"])
    yield write
    slip_lock.named_in.cache_clear()
    slip_lock.file_of.cache_clear()


@pytest.mark.parametrize("name", FILES)
def test_whatever_is_imported_or_named_in_a_string_counts(tree, name):
    before = slip_lock.hash_of("test_one.py")
    tree(name, f"{FILES[name]}# changed\n")
    changed = slip_lock.hash_of("test_one.py") != before
    assert changed == (name not in ("fewshot/__init__.py", "fewshot/other.py"))  # nothing is taken from the index


def test_a_name_from_the_packages_index_brings_all_that_the_index_names(tree):
    tree("tests/test_one.py", "from fewshot import Other\n")
    before = slip_lock.hash_of("test_one.py")
    tree("fewshot/other.py", "# changed\n")
    assert slip_lock.hash_of("test_one.py") != before


@pytest.mark.parametrize("name", BESIDE)
def test_other_files_do_not_count(tree, name):
    before = slip_lock.hash_of("test_one.py")
    tree(name, f"{BESIDE[name]}# changed\n")
    assert slip_lock.hash_of("test_one.py") == before


def test_only_files_with_their_hash_in_the_lock_are_unchanged(tree):
    assert slip_lock.unchanged() == set()
    tree(
        "tests/slips.lock",
        f'{{"test_one.py": "{slip_lock.hash_of("test_one.py")}", "test_two.py": "0", "gone.py": "0"}}',
    )
    assert slip_lock.unchanged() == {"test_one.py"}
    tree("fewshot/cases/small.py", "# changed\n")
    assert slip_lock.unchanged() == set()


def test_slips_of_unchanged_files_are_left_out_and_no_other_test():
    def item(file, *marks):
        return SimpleNamespace(path=slip_lock.TESTS / file, get_closest_marker=lambda name: name in marks)

    told = []
    config = SimpleNamespace(
        stash={slip_hooks.UNCHANGED: {"a.py"}}, hook=SimpleNamespace(pytest_deselected=lambda items: told.extend(items))
    )
    items = [item("a.py", "slip"), item("a.py"), item("b.py", "slip"), item("b.py", "slow")]
    before = list(items)
    slip_hooks.pytest_collection_modifyitems(config, items)
    assert items == before[1:] and told == before[:1] and config.stash[slip_hooks.LEFT_OUT] == 1


def test_the_lock_names_files_with_slips():
    texts = {name: (slip_lock.TESTS / name).read_text("utf-8") for name in slip_lock.locked()}
    assert not [name for name, text in texts.items() if "@pytest.mark.slip" not in text and "planted(" not in text]
