"""How a command ends: its exit code, and the errors that stand for one."""

from enum import IntEnum


class Exit(IntEnum):
    """Say what came of a command."""

    YES = 0
    """It was obeyed, has come, or is as it should be."""
    NO = 1
    """It was refused, has failed, or is not as it should be."""
    USAGE = 2
    """The command line itself is wrong."""
    LATE = 3
    """There was no answer in the time given."""
    CLUSTER = 4
    """The cluster could not be asked, or does not have what was named."""


class Stopped(Exception):
    """A command cannot go on; the text is one line for the person who typed it."""

    def __init__(self, message: str, code: Exit = Exit.CLUSTER) -> None:
        super().__init__(message)
        self.code = code
