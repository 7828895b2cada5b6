"""The settle times: how long a set that left the routes is kept, and whether its callers are seen to be gone (I3)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from canary.core.counting import quiet, scrape_interval
from canary.core.measurement import Arrivals, DrainQuery, Measurement, SeriesAnswer
from canary.core.protocols import opaque_protocol
from canary.core.rollouts import Rollouts
from canary.core.routes.choice import is_marked
from canary.core.routes.sections import CONNECTIONS, shared_sections

UNANSWERED_DRAINS = 4
"""How many drain times to wait when metrics cannot tell whether a set still gets requests (I3).

Nor can they for connections that were open before: callers' proxies close them after a time of their own, 45 s
in Istio as it comes.
"""


@dataclass(frozen=True)
class Drains(Rollouts):
    """One moment of one Canary with what its sets off the routes are waited for."""

    @property
    def drain(self) -> timedelta:
        """Return the settle time."""
        return timedelta(seconds=self.snapshot.owner.drain_seconds)

    @property
    def carries_connections(self) -> bool:
        """Return whether connections are shared out, which stay where they are when the routes change."""
        spec, apex, route = self.snapshot.spec, self.snapshot.apex, self.snapshot.route
        if spec is not None:
            return spec.service.carries_connections
        if route is not None and is_marked(route):
            return shared_sections(route) == CONNECTIONS
        # Given back: what is left to tell are the ports.
        ports = ((apex or {}).get("spec") or {}).get("ports") or ()
        return bool(ports) and all(map(opaque_protocol, ports))

    @property
    def arrivals(self) -> Arrivals:
        """Return the metric that counts callers who come to a set."""
        return "istio_tcp_connections_opened_total" if self.carries_connections else "istio_requests_total"

    @property
    def shortest_settle(self) -> timedelta:
        """Return how long a set off the routes is kept at least: open connections get time to end."""
        return self.drain * (UNANSWERED_DRAINS if self.carries_connections else 1)

    def drained(self, role: str) -> bool:
        """Return whether a set may shrink or roll: off the routes, waited for, and without requests (I3)."""
        drain = self.status.drain
        return drain is not None and drain.role == role and self.settled(drain.since)

    def settled(self, since: datetime) -> bool:
        """Return whether a set off the routes since then was waited for and seen without requests."""
        if self.now - since < self.shortest_settle:
            return False
        asked = self._drain_measurement(since)
        heard, longest = None, UNANSWERED_DRAINS * self.drain
        if self._callers_do_not_matter(since):
            return True
        if asked is not None and isinstance(asked.answer, SeriesAnswer):
            # Up to the question: what came after it is not in the answer.
            at = asked.query.at if isinstance(asked.query, DrainQuery) else self.now
            span = self.drain.total_seconds()
            heard = quiet(asked.answer.canary, since.timestamp(), at.timestamp(), span)
            # An answer that takes two samples is still to come.
            longest = max(longest, 2 * timedelta(seconds=scrape_interval(asked.answer.canary)))
        return self.now - since >= longest if heard is None else heard

    def _callers_do_not_matter(self, since: datetime) -> bool:
        drain = self.status.drain
        return drain is not None and drain.since == since and bool(drain.skipped)

    def _drain_measurement(self, since: datetime) -> Measurement | None:
        for m in self.measurements:
            if isinstance(m.query, DrainQuery) and m.query.since == since:
                return m
        return None
