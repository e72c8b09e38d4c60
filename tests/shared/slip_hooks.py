"""Leaves planted wrong formulas out of a run that did not change since they were last refused, and says how many."""

from itertools import filterfalse

import pytest
import slip_lock

LEFT_OUT, UNCHANGED = pytest.StashKey[int](), pytest.StashKey[set[str]]()


def pytest_addoption(parser):
    parser.addoption("--all-slips", action="store_true", help="run planted wrong formulas that did not change, too")


def pytest_configure(config):
    config.stash[LEFT_OUT] = 0


def unchanged(config):
    """Worked out once a run: workers are told."""
    if UNCHANGED not in config.stash:
        here = getattr(config, "workerinput", {}).get("unchanged")
        config.stash[UNCHANGED] = set() if config.option.all_slips else here or slip_lock.unchanged()
    return config.stash[UNCHANGED]


def pytest_configure_node(node):
    node.workerinput["unchanged"] = unchanged(node.config)


def pytest_collection_modifyitems(config, items):
    def is_out(item):
        return bool(item.get_closest_marker("slip")) and name_of(item) in unchanged(config)

    out = list(filter(is_out, items))
    items[:] = filterfalse(is_out, items)
    config.hook.pytest_deselected(items=out)
    config.stash[LEFT_OUT] = len(out)


def name_of(item):
    return item.path.relative_to(slip_lock.TESTS).as_posix()


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash[LEFT_OUT]


def pytest_testnodedown(node):
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter, config):
    if left_out := config.stash[LEFT_OUT]:
        terminalreporter.line(
            f"{left_out} planted wrong formulas did not change and were left out; --all-slips runs them"
        )
