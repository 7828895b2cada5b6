"""Provider `prometheus`: one instant query of anything with Prometheus' API."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from canary.adapters.asking import Asker, AskError, Reply, Secret, address_of
from canary.core.measurement import CustomQuery, NumbersAnswer


async def ask(asker: Asker, query: CustomQuery, secret: Secret) -> NumbersAnswer:
    """Return the numbers of a query at its moment; raise AskError."""
    url = address_of(query.provider.address or "")
    asked = {"query": query.text, "time": f"{query.at.timestamp():.3f}", "timeout": f"{asker.seconds:g}s"}
    reply = await asker.get((url / "api/v1/query").with_query(asked), query.provider, secret)
    answer = _body(reply)
    if answer.get("warnings"):
        raise AskError(f"warned that its answer may be partial: {answer['warnings'][0]}")
    try:
        return NumbersAnswer(_numbers(answer["data"]))
    except (KeyError, TypeError, ValueError, IndexError):
        raise AskError("gave an answer in an unknown form") from None


def _body(reply: Reply) -> Mapping[str, Any]:
    """Return the answer to a query that the server took; what is wrong with others the server says itself."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    error = body.get("error") if isinstance(body, Mapping) else None
    if reply.status != HTTPStatus.OK or error:
        phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else ""
        answered = f"answered {reply.status} {phrase}".rstrip()
        raise AskError(f"{answered}: {error}" if error else answered)
    if not isinstance(body, Mapping):
        raise AskError("gave an answer that is not Prometheus' JSON")
    return body


def _numbers(data: Mapping[str, Any]) -> tuple[float, ...]:
    match data["resultType"]:
        case "vector":
            # A native histogram is no number.
            return tuple(float(one["value"][1]) if "value" in one else float("nan") for one in data["result"])
        case "scalar":
            return (float(data["result"][1]),)
        case kind:
            raise AskError(f"answered with a {kind}; ask for one number, such as sum(rate(...)) without a range")
