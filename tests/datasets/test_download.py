import errno
import functools
import http.server
import os
import threading
from pathlib import Path

import pytest

from fewshot.datasets import download as module
from fewshot.datasets.download import SOURCES, Source, check_omniglot, download
from fewshot.errors import DataError, MissingDataError, UnknownNameError
from fewshot.plumbing import files

CONTENT = {"one.zip": b"1" * 700_000, "below/two.zip": b"2" * 10}


def check(folder):
    if (folder / "two.zip").read_bytes() != CONTENT["below/two.zip"] or len(
        (folder / "one.zip").read_bytes()
    ) != 700_000:
        raise DataError("these must be the files of the test, got others; fetch them again")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A data set of two small files, on a disk and not yet fetched; ``root`` has nothing."""
    for name, content in CONTENT.items():
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_bytes(content)
    source = Source("http://127.0.0.1:9/closed", tuple(CONTENT), check)
    monkeypatch.setitem(SOURCES, "small", source)
    return tmp_path


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


class Short(Quiet):
    """Promises more than it sends, and hangs up."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"1" * 400)


@pytest.fixture
def serve(small):
    """``serve(handler)``: address of a web server on this machine that has the files."""
    servers = []

    def start(handler=Quiet):
        made = functools.partial(handler, directory=str(small / "mirror"))
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), made))
        threading.Thread(target=servers[-1].serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{servers[-1].server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_from_a_web_server(small, serve, capfd):
    folder = download("small", small / "root", serve())
    assert folder == small / "root" / "small"
    assert everything(small / "root") == ["small", "small/one.zip", "small/two.zip"]
    check(folder)
    out, err = capfd.readouterr()
    assert out == ""
    assert "one.zip" in err
    assert "100%" in err


def test_from_a_folder(small):
    download("small", str(small / "root"), (small / "mirror").as_uri())
    check(small / "root" / "small")


def test_what_is_there_is_verified_and_not_fetched_again(small, monkeypatch):
    folder = download("small", small / "root", (small / "mirror").as_uri())
    monkeypatch.setattr(module.urllib.request, "urlopen", None)
    assert download("small", small / "root") == folder
    (folder / "two.zip").write_bytes(b"3")
    with pytest.raises(DataError, match="must be the files of the test"):
        download("small", small / "root")


def test_a_file_that_is_missing_is_fetched_with_the_rest(small):
    folder = download("small", small / "root", (small / "mirror").as_uri())
    (folder / "one.zip").unlink()
    (folder / "mine.txt").write_text("kept")
    download("small", small / "root", (small / "mirror").as_uri())
    check(folder)
    assert (folder / "mine.txt").read_text() == "kept"


def test_no_network(small):
    with pytest.raises(DataError) as caught:
        download("small", small / "root")
    message = str(caught.value)
    assert message.startswith("'http://127.0.0.1:9/closed/one.zip' must be reachable, got: ")
    assert message.endswith("check the network, or give a mirror")
    assert "\n" not in message
    assert everything(small / "root") == []


def test_no_such_host(small, monkeypatch):
    def fails(*arguments, **options):
        raise module.urllib.request.URLError(OSError(-2, "Name or service not known"))

    monkeypatch.setattr(module.urllib.request, "urlopen", fails)
    with pytest.raises(DataError, match=r"must be reachable, got: .*Name or service not known; check the network"):
        download("small", small / "root")


def test_no_such_file_on_the_server(small, serve):
    address = serve()
    (small / "mirror" / "below" / "two.zip").unlink()
    with pytest.raises(DataError, match=r"below/two\.zip' must be reachable, got: .*File not found"):
        download("small", small / "root", address)
    assert everything(small / "root") == []


def test_no_such_address(small):
    with pytest.raises(DataError, match=r"'nonsense/one\.zip' must be reachable, got: unknown url type"):
        download("small", small / "root", "nonsense")


def test_a_connection_that_breaks_off(small, serve):
    with pytest.raises(DataError, match=r"one\.zip' must arrive whole, got .*400.*; try again"):
        download("small", small / "root", serve(Short))
    assert everything(small / "root") == []


def test_a_connection_that_is_reset(small, monkeypatch):
    class Reset:
        headers = {"Content-Length": "1000"}  # noqa: RUF012  # as a response has them

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        def read(self, size):
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))

    monkeypatch.setattr(module.urllib.request, "urlopen", lambda *arguments, **options: Reset())
    with pytest.raises(DataError, match=r"must arrive whole, got after 0 bytes: .*Connection reset by peer; try again"):
        download("small", small / "root")
    assert everything(small / "root") == []


def test_a_full_disk(small, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(DataError, match="must be writable, got 'No space left on device'; free some space"):
        download("small", small / "root", (small / "mirror").as_uri())
    assert everything(small / "root") == []


def test_a_root_that_cannot_be_a_folder(small):
    (small / "root").write_text("a file")
    with pytest.raises(DataError, match="root' must be a folder to write to, got 'File exists'; choose another root"):
        download("small", small / "root", (small / "mirror").as_uri())


def test_a_file_in_the_place_of_the_folder(small):
    (small / "root").mkdir()
    (small / "root" / "small").write_text("a file")
    with pytest.raises(DataError, match="small' must be a folder to write to, got 'File exists'"):
        download("small", small / "root", (small / "mirror").as_uri())
    assert everything(small / "root") == ["small"]


def test_wrong_content_never_arrives(small):
    (small / "mirror" / "below" / "two.zip").write_bytes(b"other")
    with pytest.raises(DataError, match="must be the files of the test, got others"):
        download("small", small / "root", (small / "mirror").as_uri())
    assert everything(small / "root") == []


def test_unknown_names(tmp_path):
    with pytest.raises(UnknownNameError, match="got 'omniglt'; did you mean 'omniglot'"):
        download("omniglt", tmp_path)


def test_the_official_address():
    source = SOURCES["omniglot"]
    assert source.base.endswith("/brendenlake/omniglot/master/python")
    assert [Path(file).name for file in source.files] == [
        "images_background.zip",
        "images_evaluation.zip",
        "all_runs.zip",
    ]


def test_omniglot_is_verified_before_it_arrives(tmp_path):
    for name in SOURCES["omniglot"].files:
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="must be a whole zip file, got: File is not a zip file"):
        download("omniglot", tmp_path / "root", (tmp_path / "mirror").as_uri())
    assert everything(tmp_path / "root") == []
    with pytest.raises(MissingDataError, match="Omniglot needs"):
        check_omniglot(tmp_path)


@pytest.mark.slow
def test_omniglot_from_a_mirror(data_root, tmp_path):
    """The three real files pass the check of pixels, counts and answers, and arrive as they are."""
    real = data_root("omniglot")
    for name in SOURCES["omniglot"].files:
        (tmp_path / "mirror" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mirror" / name).symlink_to(real / Path(name).name)
    folder = download("omniglot", tmp_path / "root", (tmp_path / "mirror").as_uri())
    assert everything(folder) == ["all_runs.zip", "images_background.zip", "images_evaluation.zip"]
    assert all((folder / name).read_bytes() == (real / name).read_bytes() for name in everything(folder))
