"""What a request that writes holds, read without trusting it."""

import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from rsseg.errors import RssegError, UsageError

_LARGEST = 64 << 10
"""Bytes of a request that writes."""


class RefusedError(RssegError):
    """A request that is not the page's own; ``status`` is the answer's."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def body_of(request: BaseHTTPRequestHandler) -> Any:
    """The JSON of a request; what is refused is not read, and the connection ends.

    Raises: RefusedError, UsageError.
    """
    length = request.headers.get("Content-Length", "")
    request.close_connection = True
    if not length.isascii() or not length.isdecimal():
        raise RefusedError(HTTPStatus.LENGTH_REQUIRED, "the request does not say how long it is")
    if int(length) > _LARGEST:
        raise RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the request is longer than {_LARGEST} bytes")
    text = request.rfile.read(int(length))
    request.close_connection = False
    if request.headers.get_content_type() != "application/json":
        raise RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request is no application/json")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise UsageError("the request is no JSON") from None


def wanted_name(content: Any) -> tuple[int, int, str, str | None]:
    """Layer, value, name and colour of a request.

    Raises: UsageError.
    """
    wanted: dict[str, tuple[type, ...]] = {
        "layer": (int,),
        "value": (int,),
        "name": (str,),
        "colour": (str, type(None)),
    }
    if not isinstance(content, dict) or set(content) - set(wanted):
        raise UsageError("a request to rename holds layer, value, name and colour")
    for key, kinds in wanted.items():
        if not isinstance(content.get(key), kinds) or isinstance(content.get(key), bool):
            raise UsageError(f"the request's {key} cannot be used")
    return content["layer"], content["value"], content["name"], content.get("colour")
