"""What the status tells of session affinity: the cookies that have an effect, and the one that had it last."""

from __future__ import annotations

from canary.api.status import CanaryStatus
from canary.core.view import STEPPING, View


def remember_cookies(view: View, status: CanaryStatus) -> CanaryStatus:
    """Return the status with the cookies in use; they have an effect while both sides have a share."""
    routing = view.with_status(status).routing
    sessions = routing.sessions if status.phase in STEPPING and routing.sticky else None
    canary = sessions.canary_cookie if sessions is not None else None
    primary = sessions.primary_cookie if sessions is not None else None
    known = status.session_affinity_cookie
    previous = known if known not in (None, canary) else status.previous_session_affinity_cookie
    return status.model_copy(
        update={
            "session_affinity_cookie": canary,
            "primary_session_affinity_cookie": primary,
            "previous_session_affinity_cookie": previous,
        }
    )
