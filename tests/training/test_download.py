"""Archives from a server of this machine: whole, broken, cut off, hostile."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import tarfile
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from xpert.errors import DataError
from xpert.progress import Progress
from xpert.training.download import fetch_archive

FILES = {"folder/a.bin": b"a" * 100_000, "folder/b.bin": b"b"}
NAMES = ["a.bin", "b.bin"]


class Server:
    """Answers every request with `content`; `promised` is the length that it says it has."""

    def __init__(self) -> None:
        self.content, self.promised, self.status = b"", None, 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(outer.status)
                self.send_header("Content-Length", str(outer.promised or len(outer.content)))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/archive.tar.gz"

    @property
    def checksum(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    thread = threading.Thread(target=server.server.serve_forever)
    thread.start()
    yield server
    server.server.shutdown()
    server.server.server_close()
    thread.join()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()  # pooch leaves the connection of a download that failed to the garbage collector


def archive(files: dict[str, bytes], *others: tarfile.TarInfo) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as target:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            target.addfile(info, io.BytesIO(data))
        for info in others:
            target.addfile(info)
    return gzip.compress(content.getvalue(), mtime=0)  # the same bytes in every process


def link(name: str, to: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, to
    return info


def refusal(server: Server, folder: Path, checksum: str | None = None) -> str:
    before = sorted(folder.parent.rglob("*"))
    with pytest.raises(DataError) as error:
        fetch_archive(server.url, checksum or server.checksum, folder, NAMES)
    assert sorted(folder.parent.rglob("*")) == before
    assert "\n" not in str(error.value)
    return str(error.value)


def test_an_archive_is_fetched_checked_and_unpacked(tmp_path: Path, server: Server) -> None:
    server.content = archive(FILES | {"../escaped": b"", "folder/c.bin": b"", "/escaped": b""})
    reports: list[Progress] = []
    fetch_archive(server.url, server.checksum, tmp_path / "new" / "folder", NAMES, reports.append)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.bin", "b.bin", "folder", "new"]
    assert {path.name: path.read_bytes() for path in (tmp_path / "new" / "folder").iterdir()} == {
        name: FILES[f"folder/{name}"] for name in NAMES
    }
    size = len(server.content)
    assert reports[-1] == Progress(stage="download", unit="bytes", done=size, total=size)


def test_an_archive_with_a_wrong_checksum_is_thrown_away(tmp_path: Path, server: Server) -> None:
    server.content = b"not what was promised"
    for checksum in ("md5:" + 32 * "0", "sha256:" + 64 * "0"):
        message = refusal(server, tmp_path / "folder", checksum)
        assert message.startswith(f"{server.url}: ")
        assert f"expected {checksum} but got" in message
    with pytest.raises(DataError):
        fetch_archive(server.url, "md5:0", tmp_path / "new" / "folder", NAMES)
    assert not (tmp_path / "new").exists()


def test_a_download_that_is_cut_off(tmp_path: Path, server: Server) -> None:
    server.content, server.promised = archive(FILES), 10**6
    message = refusal(server, tmp_path / "folder")
    assert "cannot be fetched" in message
    assert "by hand" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(FILES)[:100], "not an archive, or not a whole one"),
        (b"<html>", "not an archive, or not a whole one"),
        (archive({"folder/a.bin": b""}), "b.bin' not found"),
        (archive({"other/a.bin": b"", "b.bin": b""}), "a.bin' not found"),
        (archive({"folder/a.bin": b""}, link("folder/b.bin", "/etc/passwd")), "passwd' not found"),
        (archive({"folder/a.bin": b""}, link("folder/b.bin", "../../../etc/passwd")), "passwd' not found"),
    ],
)
def test_archives_that_are_not_what_they_should_be(
    tmp_path: Path, server: Server, content: bytes, message: str
) -> None:
    server.content = content
    assert message in refusal(server, tmp_path / "folder")


def test_an_address_that_is_gone(tmp_path: Path, server: Server) -> None:
    server.status = 404
    assert "cannot be fetched (404 Client Error: Not Found for url" in refusal(server, tmp_path / "folder")


def test_a_server_that_is_not_there(tmp_path: Path, server: Server) -> None:
    server.url = "http://127.0.0.1:9/archive.tar.gz"  # nothing listens there
    message = refusal(server, tmp_path / "folder")
    assert message.startswith(
        f"{tmp_path / 'folder'}: missing, and {server.url} cannot be fetched (Failed to establish"
    )
    assert message.endswith("Connection refused): unpack that archive into the folder by hand")
    with pytest.raises(DataError, match="no such folder"):
        fetch_archive(server.url, "md5:0", tmp_path / "neither" / "of" / "these", NAMES)
