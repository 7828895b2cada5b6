"""Say in words why no answer came over HTTP."""

from __future__ import annotations

import os
import ssl

import aiohttp


def fault_words(fault: aiohttp.ClientError | OSError, hint: str = "") -> str:
    """Say why no answer came; ``hint`` is added to what a broken connection may mean."""
    root = fault.os_error if isinstance(fault, aiohttp.ClientConnectorError) else fault
    match root:
        case ssl.SSLCertVerificationError():
            return f"cannot be trusted: TLS failed: {root.verify_message}"
        case ssl.SSLError():
            return f"cannot be reached: TLS failed: {(root.reason or 'no reason given').replace('_', ' ').lower()}"
        case aiohttp.ServerDisconnectedError() | ConnectionResetError() | aiohttp.ClientOSError():
            return f"broke the connection: {_words(root)}{hint}"
        case OSError():
            return f"cannot be reached: {_words(root)}"
        case aiohttp.ClientPayloadError():
            return "broke off its answer"
        case _:
            return "gave an answer that is not HTTP"


def _words(fault: Exception) -> str:
    """Return the operating system's words for a fault, where it has any."""
    number, text = getattr(fault, "errno", None), getattr(fault, "strerror", None)
    if number and number > 0 and not str(text).startswith("[SSL"):
        return os.strerror(number)
    return text or "closed without an answer"
