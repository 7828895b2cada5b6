"""What `canary simulate` prints: rows, verdict and requests, as a table or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from canary.core.objects import Ref
from canary.sim.driver import Simulation
from canary.sim.history import Row


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one simulated release."""

    rows: Sequence[Row]
    verdict: str
    reason: str
    message: str
    requests: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "rows": [{"at": _at(row.at), "phase": row.phase, "weight": row.weight} for row in self.rows],
            "verdict": self.verdict,
            "reason": self.reason,
            "requests": self.requests,
        }

    def as_json(self) -> str:
        """Return the report as one line of JSON."""
        return json.dumps(self.as_dict())

    def as_table(self) -> str:
        """Return the report for people."""
        lines = [f"{'AT':>8}  {'STATUS':<18}{'WEIGHT':>6}"]
        lines += [f"{_at(row.at):>7}s  {row.phase:<18}{row.weight:>6}" for row in self.rows]
        sent, failed, harmed = (self.requests[key] for key in ("sent", "failed", "harmed"))
        lines.append("")
        lines.append(f"{self.verdict} ({self.reason}): {self.message}")
        lines.append(f"requests: {sent} sent, {failed} failed, {harmed} of them because of the release")
        return "\n".join(lines)


def _at(seconds: float) -> float | int:
    """Return tenths of a second: what is below is the way to the API server and back."""
    rounded = round(seconds, 1)
    return int(rounded) if rounded.is_integer() else rounded


def report_of(sim: Simulation, ref: Ref, since: float) -> Report:
    """Return the report on the run that began at `since`."""
    status = sim.status(ref)
    conditions = {one["type"]: one for one in status.get("conditions") or ()}
    reason = (conditions.get("Progressing") or conditions.get("Promoted") or {}).get("reason", "")
    return Report(
        rows=sim.rows(since, ref),
        verdict=sim.state(ref)[0],
        reason=reason,
        message=status.get("message", ""),
        requests=sim.dataplane.requests.as_dict(),
    )
