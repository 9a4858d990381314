"""The report of a run under way, served on this machine alone and shown anew as the run goes on."""

from __future__ import annotations

import http.server
from collections.abc import Callable
from pathlib import Path

from xpert.errors import XpertError

_WATCHED = ("events.jsonl", "results.json", "accuracy.json", "design.json")
"""Files that tell that there is something new."""

_ASK = """<script>
// Ask for news, and show the page anew when there are any; where the page was scrolled to is kept.
let known = null;
setInterval(async () => {
  try {
    const now = await (await fetch("/version")).text();
    if (known !== null && now !== known) location.reload();
    known = now;
  } catch { /* the server is gone: the page stays as it is */ }
}, 3000);
</script>
</body>"""


def version(run: Path) -> str:
    """Changes when the run's files do."""
    parts = []
    for name in _WATCHED:
        try:
            found = (run / name).stat()
        except OSError:
            continue
        parts.append(f"{name}:{found.st_mtime_ns}:{found.st_size}")
    return " ".join(parts)


class Follower(http.server.HTTPServer):
    """Serves a run's report on the loopback device until it is closed.

    Args:
        run: The run folder.
        write: Writes its report, and says where it is.
        port: To listen on; 0 takes a free one.

    Raises:
        OSError: If the port is taken.
    """

    def __init__(self, run: Path, write: Callable[[Path], Path], port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.run = run
        self._write = write
        self._shown: tuple[str, bytes] | None = None

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.server_port}/"

    def page(self) -> bytes:
        """The report as the run's files are now.

        Raises:
            XpertError: If the run cannot be read.
        """
        now = version(self.run)
        if self._shown is None or self._shown[0] != now:
            text = self._write(self.run).read_text(encoding="utf-8")
            # The file itself asks nobody for anything.
            text = text.replace("default-src 'none';", "default-src 'none'; connect-src 'self';", 1)
            head, _, tail = text.rpartition("</body>")
            self._shown = now, f"{head}{_ASK}{tail}".encode()
        return self._shown[1]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer a browser."""
        follower = self.server
        assert isinstance(follower, Follower)  # noqa: S101 (nobody else makes one of these)
        # Pages of other sites that lead their own name here are no concern of this server.
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in {"127.0.0.1", "localhost"}:
            self._answer(403, b"this server is for this machine alone\n", "text/plain")
        elif self.path == "/version":
            self._answer(200, version(follower.run).encode(), "text/plain")
        elif self.path.partition("?")[0] == "/":
            try:
                self._answer(200, follower.page(), "text/html; charset=utf-8")
            except XpertError as error:
                self._answer(503, f"{error}\n".encode(), "text/plain; charset=utf-8")
        else:
            self._answer(404, b"there is the report at / and nothing else\n", "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        try:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:  # a browser that has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing of requests."""


__all__ = ["Follower", "version"]
