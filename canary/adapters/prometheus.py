"""Prometheus as ``Measurer``: raw samples of Istio's standard metrics, exactly as they were scraped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from math import ceil
from typing import Any, Literal, assert_never
from urllib.parse import urlsplit

import orjson
import requests
from prometheus_api_client import PrometheusConnect
from prometheus_api_client.exceptions import PrometheusApiClientException
from requests.adapters import HTTPAdapter
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed
from urllib3.exceptions import ReadTimeoutError
from urllib3.util.retry import Retry

from canary.core.measurement import (
    LOOKBACK,
    Answer,
    CheckQuery,
    ContentQuery,
    CustomQuery,
    DrainQuery,
    EndpointsQuery,
    GoneQuery,
    HookQuery,
    LabelsQuery,
    Measurement,
    PodsQuery,
    Query,
    Series,
    SeriesAnswer,
    TemplateQuery,
    Unavailable,
)

CONNECT_SECONDS, READ_SECONDS = 2.0, 5.0
MARGIN_SECONDS = CONNECT_SECONDS + 1.0
"""How much longer we wait than one read may take: a thread cannot be cancelled, only left to its time-out."""
THREADS = 10
ResultType = Literal["matrix", "vector"]


class QueryError(Exception):
    """Prometheus did not give a usable answer; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client library drops of a response."""

    status: int
    result_type: str | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class PrometheusMeasurer:
    """Ask one Prometheus, or anything with its API, at a base URL that may have a path.

    Each question fetches the raw samples of one workload, one query per side.  That costs about 25 bytes
    a sample and 700 a series: some 10 kB for a small service, 8 MB for the buckets of a hundred callers
    over six minutes of 15 s scrapes.  The server's ``--query.max-samples`` is the bound.
    """

    def __init__(
        self,
        url: str,
        *,
        on_error: Callable[[str], None] | None = None,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Prepare to ask ``url``; ``on_error`` gets the reason of every ``Unavailable``."""
        self._on_error = on_error
        self._name = _without_credentials(url)
        self._replies = threading.local()
        self._session = _session(self._remember)
        self._client = _client(url.rstrip("/"), self._session, (CONNECT_SECONDS, read_seconds))
        self._read_seconds = read_seconds
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prometheus")

    async def measure(self, query: Query) -> Measurement:
        """Answer one query about metrics; failures of any kind are ``Unavailable``."""
        patience = self._read_seconds + MARGIN_SECONDS
        try:
            async with asyncio.timeout(patience):
                answer = await self._answer(query)
        except TimeoutError:
            answer = Unavailable(f"{self._name} timed out: no whole answer within {patience:g} s")
        except QueryError as error:
            answer = Unavailable(str(error))
        if isinstance(answer, Unavailable) and self._on_error:
            self._on_error(answer.reason)
        return Measurement(query, answer)

    def close(self) -> None:
        """Drop waiting questions and connections; running ones end by their own time-out."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._session.close()

    async def _answer(self, query: Query) -> Answer:
        match query:
            case CheckQuery():
                canary, primary = await asyncio.gather(
                    self._run(_check(query, query.canary), query.at, "matrix"),
                    self._run(_check(query, query.primary), query.at, "matrix"),
                )
                return SeriesAnswer(canary, primary)
            case DrainQuery():
                return SeriesAnswer(await self._run(_drain(query), query.at, "matrix"))
            case LabelsQuery():
                selector = _selector("istio_requests_total", query.namespace, query.workload)
                return SeriesAnswer(await self._run(selector, query.at, "vector"))
            case (
                CustomQuery()
                | TemplateQuery()
                | GoneQuery()
                | ContentQuery()
                | PodsQuery()
                | EndpointsQuery()
                | HookQuery()
            ):
                return Unavailable(f"{self._name} answers questions about Istio's metrics only")
            case _:
                assert_never(query)

    async def _run(self, promql: str, at: datetime, expected: ResultType) -> tuple[Series, ...]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._ask, promql, at, expected)

    def _ask(self, promql: str, at: datetime, expected: ResultType) -> tuple[Series, ...]:
        """Run one query in a thread of the pool; raise ``QueryError``."""
        params = {"time": f"{at.timestamp():.3f}", "timeout": f"{self._read_seconds:g}s"}
        self._replies.last = None
        try:
            for attempt in _attempts():
                with attempt:
                    result = self._client.custom_query(promql, params=params)
        except PrometheusApiClientException:
            raise QueryError(self._refusal()) from None
        except requests.exceptions.InvalidJSONError:
            raise QueryError(self._gibberish()) from None
        except requests.RequestException as error:
            raise QueryError(f"{self._name} {self._fault(error)}") from None
        except (ValueError, KeyError, TypeError):
            raise QueryError(self._gibberish()) from None
        self._refuse_unusable(expected)
        try:
            return tuple(_series(one) for one in result)
        except (ValueError, KeyError, TypeError, AttributeError):
            raise QueryError(f"{self._name} gave series in an unknown form") from None

    def _fault(self, error: requests.RequestException) -> str:
        if isinstance(error, requests.ConnectTimeout):
            return f"timed out: no connection within {CONNECT_SECONDS:g} s"
        if _is_timeout(error):
            return f"timed out: no answer within {self._read_seconds:g} s"
        verb = "reached" if isinstance(error, requests.ConnectionError) else "asked"
        return f"cannot be {verb}: {_cause(error)}"

    def _remember(self, response: requests.Response, *_: object, **__: object) -> None:
        self._replies.last = _reply(response)

    def _gibberish(self) -> str:
        return f"{self._name} gave an answer that is not Prometheus' JSON"

    def _refusal(self) -> str:
        reply: Reply = self._replies.last
        phrase = HTTPStatus(reply.status).phrase if reply.status in set(HTTPStatus) else ""
        text = f"{self._name} answered {reply.status} {phrase}".rstrip()
        return f"{text}: {reply.error}" if reply.error else text

    def _refuse_unusable(self, expected: ResultType) -> None:
        reply: Reply = self._replies.last
        if reply.warnings:
            raise QueryError(f"{self._name} warned that its answer may be partial: {reply.warnings[0]}")
        if reply.error:
            raise QueryError(f"{self._name} answered with an error: {reply.error}")
        if reply.result_type != expected:
            raise QueryError(f"{self._name} answered with a {reply.result_type} instead of a {expected}")


def _session(remember: Callable[..., None]) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.headers["User-Agent"] = "canary-controller"
    session.hooks["response"].append(remember)
    return session


def _client(url: str, session: requests.Session, timeout: tuple[float, float]) -> PrometheusConnect:
    # read=False as in requests itself: else a read time-out comes as a lost connection.
    never = Retry(total=0, read=False)
    client = PrometheusConnect(url, retry=never, session=session, timeout=timeout)
    # The constructor mounts an adapter of its own over ours, so ours comes after it.
    session.mount(url, HTTPAdapter(pool_maxsize=THREADS, max_retries=never))
    return client


def _attempts() -> Retrying:
    return Retrying(
        stop=stop_after_attempt(2),
        wait=wait_fixed(0.1),
        retry=retry_if_exception(_is_connection_fault),
        reraise=True,
    )


def _is_connection_fault(error: BaseException) -> bool:
    return isinstance(error, requests.ConnectionError) and not _is_timeout(error)


def _is_timeout(error: BaseException) -> bool:
    # A time-out while the body is read comes as a plain ConnectionError around urllib3's.
    inside = error.args[0] if error.args else None
    return isinstance(error, requests.Timeout) or isinstance(inside, ReadTimeoutError)


def _cause(error: BaseException) -> str:
    """Return the operating system's words at the root of an error, else its kind."""
    root: BaseException | None = error
    while root is not None:
        if isinstance(root, OSError) and root.strerror:
            return root.strerror
        error, root = root, root.__cause__ or root.__context__
    return str(error) if isinstance(error, OSError) and error.args else type(error).__name__


def _reply(response: requests.Response) -> Reply:
    try:
        body = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return Reply(response.status_code, error=_first_line(response.text))
    if not isinstance(body, Mapping):
        return Reply(response.status_code)
    data = body.get("data")
    return Reply(
        status=response.status_code,
        result_type=data.get("resultType") if isinstance(data, Mapping) else None,
        error=str(body.get("error") or ""),
        warnings=tuple(str(one) for one in body.get("warnings") or ()),
    )


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


def _series(raw: Mapping[str, Any]) -> Series:
    labels = tuple(sorted((name, value) for name, value in raw["metric"].items() if name != "__name__"))
    points = raw["values"] if "values" in raw else [raw["value"]]
    return Series(labels, tuple((float(at), float(value)) for at, value in points))


def _check(query: CheckQuery, workload: str) -> str:
    selector = _selector(query.metric, query.namespace, workload)
    return selector + _range(query.window + LOOKBACK)


def _drain(query: DrainQuery) -> str:
    # The look back tells a series that was there before from one born by a late request.
    selector = _selector(query.metric, query.namespace, query.workload)
    return selector + _range(query.at - query.since + LOOKBACK)


def _selector(metric: str, namespace: str, workload: str) -> str:
    return (
        f'{metric}{{destination_workload="{_escaped(workload)}"'
        f',destination_workload_namespace="{_escaped(namespace)}"}}'
    )


def _range(span: timedelta) -> str:
    return f"[{ceil(span.total_seconds())}s]"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return f"Prometheus at {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")
