"""A command to a release: what a person, or a tool in their name, asks of the controller."""

import hashlib
import json
from typing import Literal

from pydantic import Field, ValidationError

from canary.api.admission import in_words
from canary.api.wire import Name, WireModel, Word

Verb = Literal["pause", "resume", "promote", "skip", "abort", "retry", "rollback", "approve", "reject"]

ANNOTATION = "canary.delivery/command"
NOT_AN_OBJECT = f'annotation {ANNOTATION} is no JSON object; write it as {{"id": "1", "verb": "pause"}}'


class Command(WireModel):
    """What is asked, as written in the annotation of a Canary."""

    id: Name = Field(description="Tells this command from all others; each is answered once.")
    verb: Verb = Field(description="What to do.")
    revision: Word = Field("", description="The revision it is meant for; empty is whichever it meets.")
    by: Word = Field("", description="Who asks.")
    gate: Word = Field("", description="The gate to approve or reject.")


class WrongCommand(WireModel):
    """An annotation that says no command, and why."""

    id: str
    why: str


def read_command(text: str) -> Command | WrongCommand:
    """Return the command in the annotation, or what is wrong with it.

    A wrong one without a usable id gets one from its text, so that it is answered once too.
    """
    try:
        raw = json.loads(text)
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        return WrongCommand(id=_digest(text), why=NOT_AN_OBJECT)
    try:
        return Command.model_validate(raw)
    except ValidationError as error:
        given = raw.get("id")
        identity = given if isinstance(given, str) and 0 < len(given) <= 253 else _digest(text)
        why = "; ".join(in_words(one).message for one in error.errors(include_url=False))
        return WrongCommand(id=identity, why=f"annotation {ANNOTATION}: {why}")


def _digest(text: str) -> str:
    return f"text-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
