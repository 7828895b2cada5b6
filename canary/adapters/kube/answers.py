"""What an answer of the API server means: HTTP results as errors of ``ports``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from canary.ports import ClusterError, Conflict, NotFound, Refused, Retryable


class Expired(Retryable):
    """The version asked for is no longer, or not yet, known to the server (410, 504): list anew."""


class ServerFault(Retryable):
    """The server failed (500); also its answer to a streaming list when its etcd is too old for one."""


class Forbidden(Refused):
    """The caller has no right to do this (403)."""


def decode(body: bytes) -> dict[str, Any]:
    """Return a JSON object from a body; anything else came from something between us and the server."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise Retryable(f"answer is not a JSON object: {shorten(body)}")
    return value


def encode(body: Mapping[str, Any]) -> bytes:
    """Return a request body as JSON; any mapping is taken as an object."""
    return orjson.dumps(body, default=_as_dict)


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no place in an API object")


def error_of(status: int, body: bytes, retry_after: str | None = None) -> ClusterError:
    """Return the error that an HTTP status of 300 or more stands for, with the server's message."""
    message = f"{status}: {message_of(body)}"
    match status:
        case 404:
            return NotFound(message)
        case 409:
            return Conflict(message)
        case 403:
            return Forbidden(message)
        case 410 | 504:
            return Expired(message, seconds(retry_after))
        case 500:
            return ServerFault(message, seconds(retry_after))
        case 401 | 408 | 429:
            # 401: a token that has run out is renewed, see Credentials.
            return Retryable(message, seconds(retry_after))
        case _ if 400 <= status < 500:
            return Refused(message)
        case _:
            return Retryable(message, seconds(retry_after))


def message_of(body: bytes) -> str:
    """Return the message of a Status object, or the start of whatever text came instead."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return shorten(body)
    if isinstance(value, dict) and isinstance(value.get("message"), str):
        return str(value["message"])
    return shorten(body)


def shorten(body: bytes) -> str:
    """Return the start of a body as one line of text."""
    return " ".join(body[:200].decode("utf-8", "replace").split()) or "empty answer"


def seconds(retry_after: str | None) -> float | None:
    """Return a Retry-After header in seconds; None when absent or a date, which no API server sends."""
    try:
        return max(0.0, float(retry_after)) if retry_after else None
    except ValueError:
        return None
