"""A stand-in for Prometheus: every workload answers ten requests a second quickly, and none once it was left.

What hundreds of real services with their proxies would give cannot be made on two cores; what it costs the
controller to ask, over HTTP, and to judge what it is told is the same.  Durations are those of a workload with
traffic; counts of requests, by which the controller sees that callers have left, stand still.  Any other query
gets a 0.  ``python -m e2e.bench_metrics PORT``
"""

import asyncio
import re
import sys
import time
from typing import Any

from aiohttp import web

from e2e.testbed.addresses import LOOPBACK

RATE = 10
SCRAPE, SCRAPE_COUNTS = 5, 1
"""Seconds between samples; counts come each second, so that a set settles within one or two."""
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
    at = float(form.get("time", time.time()))
    if found is None:
        return _result([{"metric": {}, "value": [at, "0"]}], "vector")
    metric, workload, namespace, span = found.groups()
    series = [_series(one, metric, at, int(span or 0)) for one in _labels(metric, workload, namespace)]
    return _result(series, "matrix" if span else "vector")


def _result(result: list[dict[str, Any]], kind: str) -> web.Response:
    return web.json_response({"status": "success", "data": {"resultType": kind, "result": result}})


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
    moves = metric.endswith("_bucket")
    scrape = SCRAPE if moves else SCRAPE_COUNTS
    first = int(at - span) // scrape * scrape + scrape
    values = [[moment, str(moment * RATE if moves else 1)] for moment in range(first, int(at) + 1, scrape)]
    return {"metric": named, "values": values}


def main() -> None:
    """Serve on a port of the loopback interface."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host=LOOPBACK, port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
