"""What a hook's answer is: its decision, or nothing of the kind."""

from __future__ import annotations

from dataclasses import dataclass

import aiohttp
from yarl import URL

from canary.adapters.asking import Secret
from canary.adapters.secrets import redacted

BODY_BYTES = 4096
WORDS = 200
UNDECIDED = {401, 407, 429, 502, 503, 504}
"""Answers of what stands before a hook, or of a hook that cannot decide now."""

PROXIES = {"envoy", "istio-envoy"}
DENIALS = ("RBAC: access denied", "denied by ext_authz")
"""How denials begin that look like the hook's own answer.

The proxy on our side says of the one on the hook's side how long it took, and an authorizer that
speaks HTTP has its headers passed on, that one among them.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: a decision, or None, and whether another attempt may end otherwise."""

    decision: bool | None
    words: str = ""
    again: bool = False


def target_of(response: aiohttp.ClientResponse, url: URL) -> URL | None:
    """Return where a redirect leads; None for another answer."""
    location = response.headers.get("Location")
    if location is None or not 300 <= response.status < 400:
        return None
    try:
        return url.join(URL(location))
    except ValueError:
        return None


def same_place(url: URL, target: URL) -> bool:
    """Return whether a redirect only spells the path with other slashes.

    Any other path may be a page to log in at, which is glad to answer 200.
    """
    return target.host is not None and url.origin() == target.origin() and _parts(url) == _parts(target)


def _parts(url: URL) -> list[str]:
    return [part for part in url.path.split("/") if part]


async def outcome_of(response: aiohttp.ClientResponse, target: URL | None, secret: Secret) -> Outcome:
    """Return what an answer is; nothing of the Secret that was sent shows in its words."""
    status = response.status
    if 200 <= status < 300:
        return Outcome(True)
    if target is not None:
        return Outcome(None, f"redirects to {shown(target)}; name the address that answers itself")
    text = await _text(response, secret)
    said = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    again = status == 429 or (status >= 500 and status != 501)
    if status >= 400 and (_is_of_proxy(response) or (status == 403 and text.startswith(DENIALS))):
        return Outcome(None, f"{_refusal(status)} ({said})", again)
    if status < 400 or status in UNDECIDED:
        return Outcome(None, f"decided nothing: it answered {said}", again)
    return Outcome(False, said, again)


def _is_of_proxy(response: aiohttp.ClientResponse) -> bool:
    """Return whether Envoy made the answer itself; to what it passes on it adds how long that took."""
    server = response.headers.get("Server", "").lower()
    return server in PROXIES and "X-Envoy-Upstream-Service-Time" not in response.headers


def _refusal(status: int) -> str:
    if status == 404 or status >= 500:
        return "was not asked: the mesh's proxy could not reach it"
    if status == 403:
        return "was not asked: the mesh's proxy refused the call; an AuthorizationPolicy must admit the controller"
    return "was not asked: the mesh's proxy refused the call"


async def _text(response: aiohttp.ClientResponse, secret: Secret) -> str:
    """Return the beginning of a body as one printable line."""
    body = b""
    while len(body) < BODY_BYTES and (piece := await response.content.read(BODY_BYTES - len(body))):
        body += piece
    text = redacted(body.decode(errors="replace"), secret)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:WORDS]


def shown(url: URL) -> str:
    """Return a URL as people are shown it, without what may be secret in it."""
    plain = url.with_query(None).with_fragment(None)
    return str(plain.with_user(None) if plain.absolute else plain)[:WORDS]
