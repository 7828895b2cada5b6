"""Signatures by which a hook knows who asks, and that nobody changed or kept the question."""

from __future__ import annotations

import hashlib
import hmac

from canary.adapters.asking import KNOWN, AskError, Secret

KEY = "hmac"
TIMESTAMP, SIGNATURE = "X-Canary-Timestamp", "X-Canary-Signature"
HOOK_KEYS = (*KNOWN[:3], KEY, *KNOWN[3:])
"""What the Secret of a hook may hold."""


def signing_key(secret: Secret) -> bytes | None:
    """Return the key that a Secret holds, None without one; raise AskError for an empty one."""
    if KEY not in secret:
        return None
    # Files end with a line break that is no part of it.
    key = secret[KEY].strip(b"\r\n")
    if not key:
        raise AskError(f"cannot be asked: {KEY} of its Secret is empty; give the key of the signature")
    return key


def stamp(key: bytes, body: bytes, now: float) -> tuple[tuple[str, str], ...]:
    """Return the headers that sign a body at a moment: its Unix seconds, and an HMAC over both by SHA-256."""
    seconds = str(int(now))
    signature = hmac.new(key, seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return ((TIMESTAMP, seconds), (SIGNATURE, f"sha256={signature}"))
