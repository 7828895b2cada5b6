"""A stand-in for Prometheus: every workload has ten requests a second, all good and quick, none once it is drained.

What hundreds of real services with their proxies would give cannot be made on two cores; what it costs the
controller to ask, over HTTP, and to judge what it is told is the same.  ``python -m e2e.bench_metrics PORT``
"""

import asyncio
import re
import sys
import time
from typing import Any

from aiohttp import web

from canary.core.measurement import LOOKBACK
from e2e.testbed.addresses import LOOPBACK

SCRAPE, RATE = 5, 10
DRAINED_WITHIN = 5.0
"""Seconds: a question about a set that has left its routes looks no further back, apart from LOOKBACK."""
FOREVER = 3600.0
BUCKETS = ("100", "500", "+Inf")
_QUERY = re.compile(
    r'^(\w+)\{destination_workload="([^"]+)",destination_workload_namespace="([^"]+)"\}(?:\[(\d+)s\])?$'
)


async def answer(request: web.Request) -> web.Response:
    """Answer one instant query."""
    form = request.query
    if "hanging" in request.path:
        await asyncio.sleep(FOREVER)
    found = _QUERY.fullmatch(form["query"])
    if found is None:
        return web.json_response({"status": "error", "error": f"unknown query {form['query']}"}, status=400)
    metric, workload, namespace, span = found.groups()
    at = float(form.get("time", time.time()))
    series = [_series(one, metric, at, int(span or 0)) for one in _labels(metric, workload, namespace)]
    kind = "matrix" if span else "vector"
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": series}})


def _labels(metric: str, workload: str, namespace: str) -> list[dict[str, str]]:
    of_workload = {"destination_workload": workload, "destination_workload_namespace": namespace}
    code = {"response_code": "200", "request_protocol": "http", "response_flags": "-"}
    callers = {"source_workload": "web", "source_workload_namespace": namespace}
    found = [{"reporter": one, **of_workload, **code, **callers} for one in ("source", "destination")]
    return [{**one, "le": le} for one in found for le in BUCKETS] if metric.endswith("_bucket") else found


def _series(labels: dict[str, str], metric: str, at: float, span: int) -> dict[str, Any]:
    named = {"__name__": metric, **labels}
    if not span:
        return {"metric": named, "value": [at, "10"]}
    drained = span - LOOKBACK.total_seconds() <= DRAINED_WITHIN
    first = int(at - span) // SCRAPE * SCRAPE + SCRAPE
    values = [[moment, str(1 if drained else moment * RATE)] for moment in range(first, int(at) + 1, SCRAPE)]
    return {"metric": named, "values": values}


def main() -> None:
    """Serve on a port of the loopback interface."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host=LOOPBACK, port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
