"""The frame of the command line: help, examples, documentation, exit codes, and what is loaded when."""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli import call, refused
from typer.main import get_command

from fewshot.cli.commands import COMMANDS
from fewshot.cli.main import app
from fewshot.errors import FewShotError

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("torch", "transformers", "matplotlib", "sklearn", "scipy", "numpy", "sentence_transformers")


def test_every_command_of_the_contract_is_there():
    assert list(COMMANDS) == [
        "quickstart",
        "classify",
        "transfer",
        "run",
        "evaluate",
        "tune",
        "compare",
        "show",
        "report",
        "table",
        "list",
        "verify",
        "audit",
        "download",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_that_are_printed_whole(name):
    text = call(name, "--help").stdout
    examples = COMMANDS[name][1]
    assert examples and all(f"  {example}\n" in text + "\n" for example in examples)
    assert all(example.split()[:2] == ["fewshot-bench", name] for example in examples)


@pytest.mark.parametrize("example", [example for _, examples in COMMANDS.values() for example in examples])
def test_examples_are_accepted_by_the_parser(example):
    name, *arguments = shlex.split(example)[1:]
    command = get_command(app).commands[name]
    command.make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_json_and_is_documented_with_every_option(name):
    command = get_command(app).commands[name]
    options = {o for parameter in command.params for o in parameter.opts if o.startswith("--")} - {"--help"}
    assert "--json" in options
    section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    assert section, f"docs/cli.md lacks a section '## {name}'"
    missing = [option for option in sorted(options) if f"`{option}" not in section[1]]
    assert not missing, f"docs/cli.md, section {name}, lacks {missing}"
    assert all(example in section[1] for example in COMMANDS[name][1])


def test_the_page_documents_no_option_that_is_not_there():
    for name in COMMANDS:
        section = re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.M | re.S)[1]
        known = {o for parameter in get_command(app).commands[name].params for o in parameter.opts}
        assert set(re.findall(r"^- `(--[a-z-]+)", section, re.M)) <= known


def test_mistyped_names_get_the_nearest_match():
    assert "evaluat" in refused("evaluat") and "No such option" in refused("evaluate", "--dat", "digits")
    told = call("evaluat", code=2).stderr
    assert "evaluate" in told.replace("evaluat'", "")


def test_the_version_is_that_of_the_package_and_is_documented():
    import fewshot

    assert call("--version").stdout == f"{fewshot.__version__}\n"
    assert call("--version", "evaluat").stdout == call("--version").stdout  # before anything else is looked at
    assert "--version" in call("--help").stdout and "`fewshot-bench --version`" in PAGE.read_text(encoding="utf-8")


def test_no_command_shows_the_help():
    result = call(code=2)
    assert (
        "Exit codes: 0 done, 1 ran but a check failed, 2 bad input, 130 interrupted." in result.stdout + result.stderr
    )


def test_every_error_of_the_package_is_one_sentence_and_code_2(monkeypatch):
    import fewshot.plumbing.names

    def fail(*arguments):
        raise FewShotError("nothing works, got nothing; wait")

    monkeypatch.setattr(fewshot.plumbing.names, "plug_ins", fail)
    assert refused("list", "learners") == "error: nothing works, got nothing; wait"


def test_a_file_that_cannot_be_read_is_one_sentence(monkeypatch):
    import fewshot.plumbing.names

    def fail(*arguments):
        raise PermissionError(13, "Permission denied", "secret.npz")

    monkeypatch.setattr(fewshot.plumbing.names, "plug_ins", fail)
    assert "'secret.npz'" in refused("list", "learners") and "Permission denied" in refused("list", "learners")


RUN = "from fewshot.cli.main import main; main()"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device /dev/full, which Linux has")
@pytest.mark.parametrize("arguments", [("list", "learners"), ("--help",), ("list", "recipes", "--json")])
def test_a_full_disk_under_the_output_is_one_sentence_and_code_2(arguments):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([sys.executable, "-c", RUN, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ended.returncode == 2
    assert ended.stderr == (
        "error: the output must arrive whole, got: No space left on device; free some space, or send it elsewhere\n"
    )


def test_output_that_nobody_reads_is_no_error_to_tell():
    reads, writes = os.pipe()
    os.close(reads)
    ended = subprocess.run([sys.executable, "-c", RUN, "--help"], stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (1, "")
    ended = subprocess.run([f"{sys.executable} -c '{RUN}' --help >&-"], shell=True, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_interrupted_means_130_and_how_to_go_on(monkeypatch):
    import fewshot.plumbing.names

    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(fewshot.plumbing.names, "plug_ins", stop)
    assert "to go on, give the same command again: fewshot-bench" in call("list", "learners", code=130).stderr


def fresh(code, *arguments):
    """A fresh interpreter; seconds beside it."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    return done, time.perf_counter() - started


def test_import_and_help_load_nothing_heavy():
    code = (
        "import sys, fewshot.cli.main as m\n"
        "sys.argv = ['fewshot-bench', *sys.argv[1:]]\n"
        "try: m.main()\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"print('heavy', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    for arguments in (["--help"], ["evaluate", "--help"]):
        done, _ = fresh(code, *arguments)
        assert done.returncode == 0 and done.stdout.strip().endswith("heavy []"), done


def test_help_is_instant():
    """Processor time of the help beyond that of an empty interpreter, so that a busy machine is no failure."""
    code = (
        "import sys, time, resource\n"
        "before = time.process_time()\n"
        "import fewshot.cli.main as m\n"
        "sys.argv = ['fewshot-bench', '--help']\n"
        "try: m.main()\n"
        "except SystemExit: pass\n"
        "print(time.process_time() - before, file=sys.stderr)"
    )
    fresh(code)  # compiles what has no bytecode yet
    assert float(fresh(code)[0].stderr) < 1


def test_a_signal_in_the_middle_ends_with_130():
    code = (
        "import os, signal, sys, time, fewshot.plumbing.names, fewshot.cli.main as m\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background shell lets its children ignore it
        "def stop(*a):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(20)\n"
        "fewshot.plumbing.names.plug_ins = stop\n"
        "sys.argv = ['fewshot-bench', 'list', 'learners']\n"
        "m.main()"
    )
    done, _ = fresh(code)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    assert "to go on, give the same command again: fewshot-bench list learners" in done.stderr
