"""Questions to Prometheus over HTTP: what is asked, and what every kind of bad answer becomes."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from canary.adapters.prometheus import PrometheusMeasurer
from canary.core.measurement import (
    Answer,
    CheckQuery,
    DrainQuery,
    GoneQuery,
    LabelsQuery,
    Query,
    Series,
    SeriesAnswer,
    Unavailable,
)
from canary.core.objects import CanaryKey

AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
CHECK = CheckQuery(
    "request-success-rate", "istio_requests_total", "shop", "catalog-canary", "catalog-primary",
    timedelta(seconds=60), AT,
)  # fmt: skip
LABELS = LabelsQuery("shop", "catalog-primary", AT)
EMPTY = {"status": "success", "data": {"resultType": "matrix", "result": []}}
READ_SECONDS = 0.5


@dataclass
class Canned:
    """The answer of the server to the next requests, and what it was asked."""

    status: int = 200
    body: bytes = json.dumps(EMPTY).encode()
    by_workload: dict[str, object] = field(default_factory=dict)
    before: Callable[[socket.socket], bool] = lambda _: True
    paths: list[str] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    agents: list[str] = field(default_factory=list)

    def answer(self, body: object, status: int = 200) -> None:
        """Answer with a JSON value."""
        self.body, self.status = json.dumps(body).encode(), status


class Handler(BaseHTTPRequestHandler):
    """Give the canned answer."""

    canned: Canned
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        self.canned.paths.append(url.path)
        self.canned.queries.append(asked)
        self.canned.agents.append(self.headers["User-Agent"])
        if not self.canned.before(self.connection):
            self.close_connection = True
            return
        body = self.canned.body
        for workload, answer in self.canned.by_workload.items():
            if f'"{workload}"' in asked["query"]:
                body = json.dumps(answer).encode()
        self.send_response(self.canned.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""


@pytest.fixture
def canned() -> Canned:
    """Return the script of the server."""
    return Canned()


@contextmanager
def serving(canned: Canned) -> Iterator[str]:
    """Serve canned answers on loopback; give the base URL."""
    handler = type("CannedHandler", (Handler,), {"canned": canned})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def url(canned: Canned) -> Iterator[str]:
    """Return the base URL of a server with canned answers."""
    with serving(canned) as base:
        yield base


@pytest.fixture
async def measurer(url: str) -> AsyncIterator[PrometheusMeasurer]:
    """Return a measurer of the canned server."""
    made = PrometheusMeasurer(url, read_seconds=READ_SECONDS)
    yield made
    made.close()


async def ask(base: str, query: Query = CHECK) -> Answer:
    """Ask one question of a base URL."""
    made = PrometheusMeasurer(base, read_seconds=READ_SECONDS)
    try:
        return (await made.measure(query)).answer
    finally:
        made.close()


async def reason(base: str, query: Query = CHECK) -> str:
    """Return why a question could not be answered."""
    answer = await ask(base, query)
    assert isinstance(answer, Unavailable)
    return answer.reason


def matrix(*series: tuple[dict[str, str], list[tuple[float, str]]]) -> object:
    """Return Prometheus' answer with raw samples."""
    result = [{"metric": labels, "values": values} for labels, values in series]
    return {"status": "success", "data": {"resultType": "matrix", "result": result}}


class TestQuestions:
    """What is asked and how answers are read."""

    async def test_measure_asks_for_raw_samples_of_each_side(
        self, canned: Canned, measurer: PrometheusMeasurer
    ) -> None:
        """One exact query per side, at one moment, reaching back LOOKBACK beyond the window."""
        name = {"__name__": "istio_requests_total"}
        canned.by_workload = {
            "catalog-canary": matrix(
                (name | {"reporter": "source", "foo": "x"}, [(1.5, "2"), (2.5, "NaN"), (3, "+Inf")])
            ),
            "catalog-primary": matrix((name | {"reporter": "destination"}, [(1, "7")])),
        }
        measurement = await measurer.measure(CHECK)
        assert measurement.query == CHECK
        assert isinstance(measurement.answer, SeriesAnswer)
        (canary,), (primary,) = measurement.answer.canary, measurement.answer.primary
        assert canary.labels == (("foo", "x"), ("reporter", "source"))
        assert canary.samples[0] == (1.5, 2.0)
        assert math.isnan(canary.samples[1][1])
        assert canary.samples[2] == (3.0, math.inf)
        assert primary == Series((("reporter", "destination"),), ((1.0, 7.0),))
        assert sorted(asked["query"] for asked in canned.queries) == [
            'istio_requests_total{destination_workload="catalog-canary",destination_workload_namespace="shop"}[360s]',
            'istio_requests_total{destination_workload="catalog-primary",destination_workload_namespace="shop"}[360s]',
        ]
        assert {asked["time"] for asked in canned.queries} == {"1767268800.250"}
        assert set(canned.agents) == {"canary-controller"}

    async def test_measure_asks_about_a_drain_since_it_began(
        self, canned: Canned, measurer: PrometheusMeasurer
    ) -> None:
        """The range covers the time since the routes were changed, and LOOKBACK before."""
        query = DrainQuery("shop", "catalog", AT - timedelta(seconds=12.5), AT)
        assert (await measurer.measure(query)).answer == SeriesAnswer(())
        assert canned.queries[0]["query"].endswith("[313s]")

    async def test_measure_asks_for_connections_where_they_are_what_ends(
        self, canned: Canned, measurer: PrometheusMeasurer
    ) -> None:
        """The counter of Istio's that rises with each connection that is opened."""
        await measurer.measure(DrainQuery("shop", "catalog", AT, AT, "istio_tcp_connections_opened_total"))
        assert canned.queries[0]["query"].startswith(
            'istio_tcp_connections_opened_total{destination_workload="catalog"'
        )

    async def test_measure_asks_for_present_labels(self, canned: Canned, measurer: PrometheusMeasurer) -> None:
        """An instant query, so that series that ended do not show."""
        sample = {"metric": {"__name__": "x", "reporter": "source"}, "value": [5, "1"]}
        canned.answer({"status": "success", "data": {"resultType": "vector", "result": [sample]}})
        found = (await measurer.measure(LABELS)).answer
        assert found == SeriesAnswer((Series((("reporter", "source"),), ((5.0, 1.0),)),))
        assert canned.queries[0]["query"].endswith("}")

    async def test_measure_escapes_names(self, canned: Canned, measurer: PrometheusMeasurer) -> None:
        """A name cannot end its matcher."""
        await measurer.measure(LabelsQuery("shop", 'a"} or up{x="\\\n', AT))
        assert r'destination_workload="a\"} or up{x=\"\\\n",' in canned.queries[0]["query"]

    @pytest.mark.parametrize("tail", ["", "/", "/prom", "/prom/"])
    async def test_measure_keeps_a_path_prefix(self, canned: Canned, url: str, tail: str) -> None:
        """A base URL may have a path and a trailing slash."""
        assert await ask(url + tail) == SeriesAnswer(())
        assert canned.paths[0] == f"{tail.rstrip('/')}/api/v1/query"

    async def test_measure_ignores_the_environment(
        self, canned: Canned, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A proxy meant for other traffic does not get between."""
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert await ask(url) == SeriesAnswer(())

    async def test_measure_answers_questions_about_metrics_only(self, url: str) -> None:
        """Other questions are Unavailable."""
        assert "metrics only" in await reason(url, GoneQuery(CanaryKey("g", "n", "c")))


class TestFailures:
    """Every failure is a sentence, never an exception."""

    async def test_measure_says_what_prometheus_refused(self, canned: Canned, url: str) -> None:
        """The status and the text of Prometheus' error are kept, also of a 503."""
        error = {"status": "error", "errorType": "execution", "error": "query timed out in x"}
        canned.answer(error, 503)
        assert await reason(url) == (f"Prometheus at {url} answered 503 Service Unavailable: query timed out in x")
        canned.status, canned.body = 401, b"Jwt is missing\nmore"
        assert await reason(url) == f"Prometheus at {url} answered 401 Unauthorized: Jwt is missing"
        assert len(canned.paths) <= 4

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            (b"<html>log in</html>", "not Prometheus' JSON"),
            (b"[]", "not Prometheus' JSON"),
            (b"{}", "not Prometheus' JSON"),
            (b'{"status": "success", "data": null}', "not Prometheus' JSON"),
            (
                b'{"status": "success", "data": {"resultType": "scalar", "result": [1, "2"]}}',
                "scalar instead of a matrix",
            ),
            (
                b'{"status": "success", "data": {"resultType": "vector", "result": []}}',
                "vector instead of a matrix",
            ),
            (b'{"status": "success", "data": {"resultType": "matrix", "result": [{}]}}', "unknown form"),
            (
                b'{"status": "success", "data": {"resultType": "matrix", "result": []},'
                b' "warnings": ["store-1 is away"]}',
                "may be partial: store-1 is away",
            ),
        ],
    )
    async def test_measure_refuses_unusable_answers(self, canned: Canned, url: str, body: bytes, expected: str) -> None:
        """An answer that is broken, of another kind or partial is no answer."""
        canned.body = body
        assert expected in await reason(url)

    async def test_measure_takes_infos_as_harmless(self, canned: Canned, url: str) -> None:
        """Only warnings tell of missing data."""
        canned.answer(EMPTY | {"infos": ["metric might not be a counter"]})
        assert await ask(url) == SeriesAnswer(())

    async def test_measure_says_when_nothing_listens(self) -> None:
        """A refused connection is named."""
        with socket.socket() as bound:
            bound.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{bound.getsockname()[1]}"
            assert await reason(base) == f"Prometheus at {base} cannot be reached: Connection refused"

    @pytest.mark.parametrize("base", ["nonsense", "http://", "ftp://127.0.0.1/"])
    async def test_measure_says_when_the_url_is_wrong(self, base: str) -> None:
        """A URL that cannot be asked is a failure like any other."""
        assert "cannot be" in await reason(base)

    async def test_measure_never_tells_credentials(self) -> None:
        """A password in the URL stays out of messages."""
        found = await reason("http://user:secret@127.0.0.1:1/prom/")
        assert found == "Prometheus at http://127.0.0.1:1/prom cannot be reached: Connection refused"

    async def test_measure_times_out(self, canned: Canned, url: str) -> None:
        """A silent server costs its time-out once; nothing is asked twice."""
        over = threading.Event()
        canned.before = lambda _: not over.wait(10)
        began = time.monotonic()
        assert await reason(url, LABELS) == f"Prometheus at {url} timed out: no answer within 0.5 s"
        assert time.monotonic() - began < 2
        assert len(canned.paths) == 1
        over.set()

    async def test_measure_gives_up_on_a_slow_body(self, canned: Canned, url: str) -> None:
        """An answer that stops half way, or never ends, is a time-out too."""
        over = threading.Event()

        def stall(connection: socket.socket) -> bool:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
            over.wait(10)
            return False

        def drip(connection: socket.socket) -> bool:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            with suppress(OSError):
                while not over.wait(0.2):
                    connection.sendall(b" ")
            return False

        canned.before = stall
        assert "no answer within 0.5 s" in await reason(url, LABELS)
        canned.before = drip
        assert "no whole answer within 3.5 s" in await reason(url, LABELS)
        over.set()

    async def test_measure_asks_again_after_a_cut_connection(self, canned: Canned, url: str) -> None:
        """One connection fault is forgiven, a second one is not."""
        cut = [False, True]
        canned.before = lambda _: cut.pop(0)
        canned.answer({"status": "success", "data": {"resultType": "vector", "result": []}})
        assert await ask(url, LABELS) == SeriesAnswer(())
        cut += [False, False]
        assert "cannot be reached" in await reason(url, LABELS)
        assert len(canned.paths) == 4

    async def test_measure_tells_of_errors(self, canned: Canned, url: str) -> None:
        """The callback hears every reason, and no success."""
        heard: list[str] = []
        measurer = PrometheusMeasurer(url, on_error=heard.append)
        await measurer.measure(CHECK)
        assert heard == []
        canned.status = 500
        answer = (await measurer.measure(CHECK)).answer
        measurer.close()
        assert isinstance(answer, Unavailable)
        assert heard == [answer.reason]
