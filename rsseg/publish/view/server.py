"""The page and its answers over HTTP, for this machine's own browser and no one else.

It listens on 127.0.0.1 only. A request under another host's name is refused, which stops pages of other sites that had
their name point here; writing needs the token that stands in the page and a request of the page's own origin. Nothing
is read by path: what is shown goes by number.
"""

import json
import re
import secrets
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import rasterio

from rsseg.errors import RssegError, UsageError
from rsseg.publish.view.atlas import Atlas, NotThereError
from rsseg.publish.view.requests import RefusedError, body_of, wanted_name

ADDRESS = "127.0.0.1"

_PAGE = Path(__file__).with_name("page")

STATIC = {
    "icon.svg": "image/svg+xml",
    "style.css": "text/css; charset=utf-8",
    "main.js": "text/javascript; charset=utf-8",
    "map.js": "text/javascript; charset=utf-8",
    "panel.js": "text/javascript; charset=utf-8",
    "legend.js": "text/javascript; charset=utf-8",
    "server.js": "text/javascript; charset=utf-8",
}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_TILE = re.compile(r"/tiles/(\d{1,9})/(\d{1,2})/(\d{1,6})/(\d{1,6})\.png")
_LEGEND = re.compile(r"/api/legend/(\d{1,9})")
_PIXEL = re.compile(r"/api/pixel/(\d{1,9})/(\d{1,9})/(\d{1,9})")


class ViewServer(ThreadingHTTPServer):
    """The server of one atlas; ``url`` is where its page is. Use it in a ``with`` statement.

    Args:
        atlas: what is shown.
        port: 0 for any that is free.

    Raises: UsageError if the port is taken or not allowed.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, atlas: Atlas, port: int = 0) -> None:
        self.atlas = atlas
        self.token = secrets.token_urlsafe(24)
        self.stopped = False
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise UsageError(f"cannot listen on port {port} ({reason}); choose another --port, or 0 for any") from None
        self.port = int(self.server_address[1])
        self.url = f"http://{ADDRESS}:{self.port}/"
        self.hosts = {f"{name}:{self.port}" for name in (ADDRESS, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away while it is answered is no error."""

    def server_close(self) -> None:
        """Stop listening and answering, and close all files."""
        self.stopped = True
        super().server_close()
        self.atlas.close()


class _Handler(BaseHTTPRequestHandler):
    """One connection of the browser."""

    server: ViewServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "rsseg", ""
    timeout = 60

    def do_GET(self) -> None:
        """The page, its parts, tiles and answers."""
        self._answer(self._get)

    def do_HEAD(self) -> None:
        """As GET, without the content."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Renaming."""
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged."""

    def _answer(self, make: Callable[[str], tuple[str, bytes]]) -> None:
        if self.server.stopped:  # a connection that a browser kept open
            self.close_connection = True
            return
        try:
            self._check_origin()
            with rasterio.Env():  # GDAL wants one in every thread
                kind, content = make(urlsplit(self.path).path)
            self._send(HTTPStatus.OK, kind, content)
        except RefusedError as problem:
            self._fail(problem.status, str(problem))
        except NotThereError as problem:
            self._fail(HTTPStatus.NOT_FOUND, str(problem))
        except RssegError as problem:
            self._fail(HTTPStatus.BAD_REQUEST, str(problem))
        except ConnectionError:
            self.close_connection = True
        except Exception as problem:
            reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
            self._fail(HTTPStatus.INTERNAL_SERVER_ERROR, f"{type(problem).__name__}: {reason}")

    def _check_origin(self) -> None:
        """Refuse what does not come from the page itself.

        Raises: RefusedError.
        """
        host = self.headers.get("Host", "").lower()
        if host not in self.server.hosts:
            raise RefusedError(
                HTTPStatus.FORBIDDEN, f"this is not {host or 'a server without a name'}; open {self.server.url}"
            )
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("none", "same-origin") and not (self.command == "GET" and urlsplit(self.path).path == "/"):
            raise RefusedError(HTTPStatus.FORBIDDEN, "only the page itself may ask for this")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise RefusedError(HTTPStatus.FORBIDDEN, "only the page itself may ask for this")

    def _get(self, path: str) -> tuple[str, bytes]:
        atlas = self.server.atlas
        if path == "/":
            return "text/html; charset=utf-8", _page(self.server.token)
        if path.startswith("/static/") and (name := path.removeprefix("/static/")) in STATIC:
            return STATIC[name], (_PAGE / name).read_bytes()
        if path == "/api/contents":
            return _json(atlas.contents())
        if found := _TILE.fullmatch(path):
            return "image/png", atlas.tile(*map(int, found.groups()))
        if found := _LEGEND.fullmatch(path):
            return _json(atlas.legend(int(found[1])))
        if found := _PIXEL.fullmatch(path):
            return _json(atlas.at(*map(int, found.groups())))
        raise NotThereError("there is nothing under this address")

    def _post(self, path: str) -> tuple[str, bytes]:
        content = body_of(self)
        token = self.headers.get("X-Rsseg-Token", "")
        if not secrets.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode()):
            raise RefusedError(HTTPStatus.FORBIDDEN, "the page is of an earlier server; reload it")
        if path != "/api/rename":
            raise NotThereError("there is nothing under this address")
        return _json(self.server.atlas.rename(*wanted_name(content)))

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self._send(status, *_json({"error": message}))

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, text in {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, text)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _page(token: str) -> bytes:
    return (_PAGE / "index.html").read_bytes().replace(b"{{token}}", token.encode())


def _json(content: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json; charset=utf-8", json.dumps(content).encode()
