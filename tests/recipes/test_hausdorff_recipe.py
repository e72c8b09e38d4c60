from fewshot.recipes.run import run_recipe
from fewshot.tables.record_tables import error_lines


def test_published_error_rate(data_root, own_cache, tmp_path):
    data_root("omniglot")
    (record,) = run_recipe("omniglot-hausdorff", tmp_path)
    assert sum(record.correct) == 245
    assert error_lines([record]) == ["lake-runs: 38.8 % error (155 of 400 queries)"]
