"""What it takes to rewrite the largest VirtualServices, in this process alone."""

import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from canary.api.hooks import SessionAffinity
from canary.core.names import Names
from canary.core.objects import apply_merge_patch, merge_patch
from canary.core.routes.istio import plain_route, read_weights, rewrite_route
from canary.core.routes.routing import Routing
from canary.core.routes.sessions import sessions_of

RULES = 100
BYTES = 500_000
REWRITES = 100
LIMIT = 20
NAMES = Names("istioinaction", "catalog", "catalog")
COHORT = ({"headers": {"x-group": {"exact": "staff"}}},)
STICKY = sessions_of(SessionAffinity(cookie_name="shop"), "6f0ca1", [10, 20])

STRATEGIES = {
    "weights": (1, Routing(10), Routing(20)),
    "a cohort": (2, Routing(0, cohorts=(COHORT,)), Routing(20, cohorts=(COHORT,))),
    "session affinity": (4, Routing(10, sessions=STICKY), Routing(20, sessions=STICKY)),
}
"""By strategy: how many routes stand for each of the user's, where a step finds them, and where it takes them."""


def measured() -> dict[str, float]:
    """Return the median milliseconds of a step's work on a VirtualService, by its size and the strategy."""
    found = {}
    for size, title in ((0, f"of {RULES} routes"), (BYTES, f"of {RULES} routes, {BYTES // 1000} kB in the run")):
        for strategy, (copies, before, after) in STRATEGIES.items():
            least = len(json.dumps(_written(_route(0), before)))
            route = _written(_route(max(0, size - least) // copies), before)
            found[f"VirtualService {title}, {strategy}"] = _median(partial(_step, route, after))
    return found


def _route(size: int) -> dict[str, Any]:
    """Return a user's VirtualService whose rules all lead to the apex, of at least so many bytes."""
    # What makes the largest ones large: long lists of conditions.
    conditions = max(1, -(-size // (RULES * len(json.dumps(_condition(0))))))
    http = [
        {
            "name": f"rule-{i}",
            "match": [_condition(i * conditions + j) for j in range(conditions)],
            "timeout": "3s",
            "route": [{"destination": {"host": "catalog", "port": {"number": 80}}}],
        }
        for i in range(RULES)
    ]
    metadata = {"name": NAMES.apex, "namespace": NAMES.namespace}
    return {"metadata": metadata, "spec": {"hosts": [NAMES.apex], "http": http}}


def _condition(number: int) -> dict[str, Any]:
    tenant = f"{number:05}"
    return {"headers": {"x-tenant": {"exact": f"tenant-{tenant}"}}, "uri": {"prefix": f"/tenants/{tenant}/"}}


def _step(route: dict[str, Any], wanted: Routing) -> dict[str, Any]:
    """Return the patch of one step: the route is read, rewritten and compared."""
    read_weights(route, NAMES)
    present = {"metadata": {"annotations": route["metadata"].get("annotations") or {}}, "spec": route["spec"]}
    return merge_patch(present, rewrite_route(route, None, NAMES, wanted, None))


def _written(route: dict[str, Any], wanted: Routing) -> dict[str, Any]:
    """Return a route as it stands after a step, and see that giving it back would undo it."""
    after: dict[str, Any] = apply_merge_patch(route, _step(route, wanted))
    assert read_weights(after, NAMES) is not None
    assert plain_route(after, NAMES)["spec"] == route["spec"]
    # What the API server returns shares nothing with what was sent.
    parsed: dict[str, Any] = json.loads(json.dumps(after))
    return parsed


def _median(work: Callable[[], dict[str, Any]]) -> float:
    took = []
    for _ in range(REWRITES):
        began = time.process_time()
        patch = work()
        took.append((time.process_time() - began) * 1000)
        assert patch, "nothing was rewritten"
    return statistics.median(took)
