"""What can be told of a spec alone, with nothing of the cluster known."""

from __future__ import annotations

from datetime import UTC, datetime

from canary.api.warnings import Caution
from canary.core.alone import alone
from canary.core.objects import Object
from canary.core.view import View
from canary.core.warnings.plan import nothing_to_judge, retries_outlast_timeout

ALONE = (nothing_to_judge, retries_outlast_timeout)
"""The warnings that look at nothing but the spec while there is no VirtualService."""
NEVER = datetime.min.replace(tzinfo=UTC)


def spec_warnings(raw: Object) -> tuple[Caution, ...]:
    """Return what may spoil the releases of a Canary, of which nothing is refused."""
    view = View(alone(raw), (), NEVER)
    return tuple(found for finder in ALONE if (found := finder(view)) is not None)
