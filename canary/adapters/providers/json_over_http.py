"""Provider `json`: one GET, and the number at a path of the answer."""

from __future__ import annotations

from http import HTTPStatus

import orjson
from yarl import URL

from canary.adapters.asking import Asker, AskError, Secret, address_of
from canary.core.measurement import CustomQuery, NumbersAnswer


async def ask(asker: Asker, query: CustomQuery, secret: Secret) -> NumbersAnswer:
    """Return the number at the path of the answer, none where there is null; raise AskError."""
    base = address_of(query.provider.address or "")
    # The values in the query are encoded already.
    reply = await asker.get(URL(f"{str(base).rstrip('/')}{_joined(query.text)}", encoded=True), query.provider, secret)
    if reply.status != HTTPStatus.OK:
        phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else ""
        raise AskError(f"answered {reply.status} {phrase}".rstrip())
    try:
        found = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        raise AskError("gave an answer that is not JSON") from None
    return _number(found, query.provider.path or "")


def _joined(text: str) -> str:
    text = text.strip()
    return text if text.startswith(("/", "?")) else f"/{text}"


def _number(found: object, path: str) -> NumbersAnswer:
    for part in path.split("."):
        if isinstance(found, dict) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise AskError(f"gave JSON without {path}: there is no {part}")
    if found is None:
        return NumbersAnswer(())
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise AskError(f"gave JSON in which {path} is no number")
    return NumbersAnswer((float(found),))
