"""The mark that a roll-back leaves in the VirtualService it writes."""

from __future__ import annotations

import json

from canary.core.names import OWNER, ROLLED_BACK, Owner
from canary.core.objects import Object, annotations_of


def roll_back_mark(revision: str, run: str, reason: str, message: str) -> str:
    """Return the mark left in the VirtualService by the write that rolls a run back.

    The write that takes traffic off the canary does not wait for the status.  Should the status never
    be written, the mark still says that this run is over.
    """
    mark = {"revision": revision, "run": run, "reason": reason, "message": message}
    return json.dumps(mark, separators=(",", ":"))


def read_roll_back(route: Object | None, revision: str | None, run: str) -> tuple[str, str] | None:
    """Return (reason, message) of a roll-back of exactly this run, or None."""
    text = annotations_of(route).get(ROLLED_BACK) if route is not None else None
    if not text:
        return None
    try:
        mark = json.loads(text)
    except ValueError:
        return None
    if not isinstance(mark, dict) or (mark.get("revision"), mark.get("run")) != (revision, run):
        return None
    return str(mark.get("reason", "")), str(mark.get("message", ""))


def is_owned_by(route: Object, owner: Owner) -> bool:
    """Return whether a VirtualService carries this Canary's mark."""
    return annotations_of(route).get(OWNER) == owner.to_text()
