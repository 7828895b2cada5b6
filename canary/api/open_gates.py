"""The controller's own gates of a Canary: which are open, and for which revision."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from canary.api.wire import Time, WireModel, Word

ANNOTATION = "canary.delivery/gates"
NAME = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
"""What a gate may be called."""


class OpenGate(WireModel):
    """A gate that somebody opened; those that are not named are closed."""

    revision: Word = ""
    by: Word = ""
    at: Time | None = None

    def lets(self, revision: str) -> bool:
        """Return whether it is open for a revision: one that names none is open for all."""
        return self.revision in ("", revision)


def read_gates(text: str | None) -> Mapping[str, OpenGate]:
    """Return the open gates in the annotation by name; what cannot be read opens nothing."""
    try:
        raw = json.loads(text or "{}")
    except ValueError:
        return {}
    found = ((name, _read(one)) for name, one in raw.items()) if isinstance(raw, dict) else ()
    return {name: gate for name, gate in found if gate is not None}


def write_gates(gates: Mapping[str, OpenGate]) -> str | None:
    """Return the annotation that says which gates are open, None for none."""
    shown = {name: gate.model_dump(mode="json", exclude_defaults=True) for name, gate in sorted(gates.items())}
    return json.dumps(shown) if shown else None


def _read(raw: Any) -> OpenGate | None:
    try:
        return OpenGate.model_validate(raw)
    except ValidationError:
        return None
