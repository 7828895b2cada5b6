"""How long the API server may say nothing, or nothing of use."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how many seconds of what are borne.

    ``idle``: bookmarks come about once a minute; a watch that is silent for longer hangs on a dead connection.
    ``stall``: a streaming list that pauses waits for an etcd that cannot tell its progress: list instead.
    ``absent``: a type with objects that is answered 404 is believed gone then, as is one nobody may look up.
    ``poll``: the pause between two questions for a definition that nobody may watch.
    ``refused``: the pause before an optional type is asked for again that nobody may read, for a minute by now.
    ``contact``: a cache that has not followed the server for longer is not to be relied on.
    """

    idle: float = 90.0
    stall: float = 10.0
    absent: float = 30.0
    poll: float = 5.0
    contact: float = 60.0
    refused: float = 600.0


PATIENCE = Patience()
