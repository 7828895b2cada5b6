"""Custom checks over HTTP: what is asked with which credentials, and what every kind of answer becomes."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from canary.adapters.asking import Asker
from canary.adapters.checks import PROVIDERS, CheckMeasurer
from canary.api.metric_template import PROVIDERS as ADMITTED
from canary.api.metric_template import MetricProvider
from canary.core.hosts import Hosts
from canary.core.measurement import (
    Answer,
    CheckQuery,
    CustomQuery,
    DrainQuery,
    GoneQuery,
    LabelsQuery,
    NumbersAnswer,
    Query,
    Unavailable,
)
from canary.core.objects import SECRET, CanaryKey, Object, Ref
from canary.ports import Refused
from tests.adapters.certificates import Authority
from tests.adapters.hooks import Hook, serving, talking

AT = datetime(2026, 1, 1, 12, 0, 0, 250_000, tzinfo=UTC)
PATIENCE, BRIEF = 30.0, 0.5
"""Seconds for an answer that comes, and for one that does not."""
SCORES: dict[str, Any] = {"type": "json", "path": "data.1.score"}
WORDS = "hunter2"
"""What must show nowhere."""


class World:
    """One server and the Secrets beside it."""

    def __init__(self, server: Hook) -> None:
        self.server = server
        self.secrets: dict[str, dict[str, bytes]] = {}
        self.read: list[Ref] = []
        self.refused = False
        self.seconds = PATIENCE
        self.hosts = Hosts()

    async def find(self, ref: Ref) -> Object | None:
        """Read an object as a cluster does."""
        self.read.append(ref)
        if self.refused:
            raise Refused('secrets "x" is forbidden')
        data = self.secrets.get(ref.name)
        return data and {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}

    def answers(self, result: object, kind: str = "vector", **more: object) -> None:
        """Answer as Prometheus does."""
        body = {"status": "success", "data": {"resultType": kind, "result": result}, **more}
        self.server.says(200, json.dumps(body))

    async def ask(self, text: str = "up", /, **provider: Any) -> Answer:
        """Ask the server, or whom the provider names."""
        fields = {"type": "prometheus", "address": self.base, **provider}
        return await self.measure(CustomQuery("errors", 0, MetricProvider(**fields), text, "shop", AT))

    async def measure(self, query: Query) -> Answer:
        """Ask one question."""
        measurer = CheckMeasurer(self.base, self.find, Asker("tests", seconds=self.seconds, hosts=self.hosts))
        try:
            measurement = await measurer.measure(query)
        finally:
            await measurer.close()
        assert measurement.query == query
        return measurement.answer

    async def reason(self, text: str = "up", /, **provider: Any) -> str:
        """Return why a question could not be answered."""
        answer = await self.ask(text, **provider)
        assert isinstance(answer, Unavailable), answer
        assert WORDS not in answer.reason
        return answer.reason

    @property
    def base(self) -> str:
        """Return the base URL of the server, which has a path."""
        return self.server.url.replace("/check", "/metrics/")

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the headers of the last request."""
        return self.server.asked[-1][0].headers


def number(value: str, **labels: str) -> dict[str, object]:
    """Return one series of a vector."""
    return {"metric": labels, "value": [1767268800.25, value]}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Serve on loopback."""
    async with serving(Hook()) as server:
        found = World(server)
        found.answers([])
        yield found


class TestPrometheus:
    """Provider `prometheus`."""

    async def test_query_is_asked_at_its_moment(self, world: World) -> None:
        """One instant query at the base URL with its path, whatever stands in it."""
        text = 'sum(rate(x{a="b&c+d é\\"%"}[1m]))'
        assert await world.ask(text) == NumbersAnswer(())
        ((request, _),) = world.server.asked
        assert (request.method, request.path) == ("GET", "/metrics/api/v1/query")
        assert dict(request.query) == {"query": text, "time": "1767268800.250", "timeout": "30s"}
        assert world.headers["User-Agent"] == "tests"
        assert "Authorization" not in world.headers
        assert world.read == []

    @pytest.mark.parametrize(
        ("result", "kind", "expected"),
        [
            ([], "vector", ()),
            ([number("7.5")], "vector", (7.5,)),
            ([number("1", pod="a"), number("2e3", pod="b")], "vector", (1.0, 2000.0)),
            ([1767268800.25, "42"], "scalar", (42.0,)),
        ],
    )
    async def test_numbers_are_read(self, world: World, result: object, kind: str, expected: tuple[float, ...]) -> None:
        """One for each series; a scalar is one too."""
        world.answers(result, kind)
        assert await world.ask() == NumbersAnswer(expected)

    async def test_what_is_no_number_is_none(self, world: World) -> None:
        """NaN, infinity and native histograms come as they are and crash nothing."""
        world.answers([number("NaN"), number("+Inf"), {"metric": {}, "histogram": [1, {}]}])
        answer = await world.ask()
        assert isinstance(answer, NumbersAnswer)
        assert [str(value) for value in answer.values] == ["nan", "inf", "nan"]

    async def test_fault_of_the_query_is_told_with_its_position(self, world: World) -> None:
        """Prometheus parses, and says where."""
        error = 'invalid parameter "query": 1:9: parse error: unclosed left parenthesis'
        world.server.says(400, json.dumps({"status": "error", "errorType": "bad_data", "error": error}))
        base = world.base.rstrip("/")
        assert await world.reason("sum(up") == f"Prometheus at {base} answered 400 Bad Request: {error}"

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (200, "<html>login</html>", "gave an answer that is not Prometheus' JSON"),
            (200, "[]", "gave an answer that is not Prometheus' JSON"),
            (200, '{"status": "success"}', "gave an answer in an unknown form"),
            (200, '{"data": {"resultType": "vector", "result": [{"value": [1, "x"]}]}}', "in an unknown form"),
            (200, '{"data": {"resultType": "matrix", "result": []}}', "answered with a matrix; ask for one number"),
            (200, '{"status": "error", "error": "query timed out"}', "answered 200 OK: query timed out"),
            (503, "upstream", "answered 503 Service Unavailable"),
            (401, WORDS, "answered 401 Unauthorized"),
            (302, "", "redirects elsewhere (HTTP 302); name the address that answers itself"),
        ],
    )
    async def test_unusable_answer_is_no_number(self, world: World, status: int, body: str, words: str) -> None:
        """Whatever is not an answer says so in a sentence."""
        world.server.says(status, body, Location="http://127.0.0.1:9/")
        assert words in await world.reason()

    async def test_partial_answer_is_no_number(self, world: World) -> None:
        """A warning means that something was left out."""
        world.answers([number("1")], warnings=["store unreachable"])
        assert "warned that its answer may be partial: store unreachable" in await world.reason()


def test_every_type_that_is_admitted_can_be_asked() -> None:
    """A provider is a type in the definition and a file here."""
    assert PROVIDERS.keys() == ADMITTED.keys()


class TestJson:
    """Provider `json`."""

    async def test_number_at_the_path_is_read(self, world: World) -> None:
        """One GET of address and query; the path goes through objects and lists."""
        world.server.says(200, json.dumps({"data": [{}, {"score": 7}]}))
        answer = await world.ask("scores?service=a%26b%2Fc\n", **SCORES)
        assert answer == NumbersAnswer((7.0,))
        ((request, _),) = world.server.asked
        assert request.raw_path == "/metrics/scores?service=a%26b%2Fc"

    async def test_null_is_no_data(self, world: World) -> None:
        """Who has no number yet says null."""
        world.server.says(200, '{"data": [0, {"score": null}]}')
        assert await world.ask("/", **SCORES) == NumbersAnswer(())

    @pytest.mark.parametrize(
        ("status", "body", "words"),
        [
            (200, '{"data": [{}]}', "gave JSON without data.1.score: there is no 1"),
            (200, '{"data": [0, {"score": "7"}]}', "gave JSON in which data.1.score is no number"),
            (200, '{"data": [0, {"score": true}]}', "gave JSON in which data.1.score is no number"),
            (200, "7,5", "gave an answer that is not JSON"),
            (404, '{"data": [0, {"score": 1}]}', "answered 404 Not Found"),
        ],
    )
    async def test_unusable_answer_is_no_number(self, world: World, status: int, body: str, words: str) -> None:
        """Whatever is not the number says so in a sentence."""
        world.server.says(status, body)
        assert words in await world.reason("/", **SCORES)


class TestCredentials:
    """What is sent along, and what never shows."""

    @pytest.mark.parametrize(
        ("secret", "expected"),
        [
            ({"token": b"hunter2\n"}, "Bearer hunter2"),
            ({"username": "zoë".encode(), "password": b"hunter2"}, "Basic em/Dqzpod"),
            ({"token": b"hunter2", "username": b"a", "password": b"b"}, "Bearer hunter2"),
        ],
    )
    async def test_secret_is_sent(self, world: World, secret: dict[str, bytes], expected: str) -> None:
        """A token before user and password, as Flagger has it."""
        world.secrets["access"] = secret
        assert await world.ask(secretRef={"name": "access"}) == NumbersAnswer(())
        assert world.headers["Authorization"].startswith(expected)
        assert world.read == [Ref(SECRET, "shop", "access")]

    async def test_headers_are_sent(self, world: World) -> None:
        """All values of each, and a credential of the Secret rather than one among them."""
        world.secrets["access"] = {"token": b"hunter2"}
        headers = {"X-Scope-OrgID": ["a", "b"], "authorization": ["Bearer other"]}
        await world.ask(headers=headers, secretRef={"name": "access"})
        request, _ = world.server.asked[0]
        assert request.headers.getall("X-Scope-OrgID") == ["a", "b"]
        assert request.headers.getall("Authorization") == ["Bearer hunter2"]

    async def test_user_in_the_address_is_sent_and_not_shown(self, world: World) -> None:
        """As every client does; messages name the address without."""
        world.server.says(401)
        address = world.base.replace("http://", f"http://ann:{WORDS}@")
        assert f"Prometheus at {world.base.rstrip('/')} answered 401" in await world.reason(address=address)
        assert world.headers["Authorization"] == "Basic YW5uOmh1bnRlcjI="

    @pytest.mark.parametrize(
        ("secrets", "words"),
        [
            ({}, "cannot be asked: Secret shop/access not found; create it"),
            ({"access": {"pass": b"hunter2"}}, "Secret access needs token, username with password, ca.crt, or tls.crt"),
            ({"access": {"username": b"hunter2"}}, "Secret access needs token, username with password"),
            ({"access": {"token": b"hunter2\nX: y"}}, "token of its Secret is more than one line of text"),
            ({"access": {"token": b"\xff\xfe"}}, "token of its Secret is more than one line of text"),
            ({"access": {"ca.crt": b"hunter2"}}, "the certificates of its Secret cannot be read"),
            ({"access": {"tls.crt": b"hunter2"}}, "the certificates of its Secret cannot be read"),
        ],
    )
    async def test_unusable_secret_is_told(
        self, world: World, secrets: dict[str, dict[str, bytes]], words: str
    ) -> None:
        """What is missing or wrong is said, and nobody is asked without it."""
        world.secrets = secrets
        assert words in await world.reason(secretRef={"name": "access"})
        assert world.server.asked == []

    async def test_forbidden_secret_is_told(self, world: World) -> None:
        """Without the right to read it the cure is named."""
        world.refused = True
        words = 'cannot be asked: Secret shop/access cannot be read (secrets "x" is forbidden); allow the controller to'
        assert words in await world.reason(secretRef={"name": "access"})

    @pytest.mark.parametrize("headers", [{"X-A": ["a\nb"]}, {"X A": ["a"]}])
    async def test_headers_that_http_cannot_carry_are_told(self, world: World, headers: dict[str, list[str]]) -> None:
        """No request with another header than was meant."""
        assert "hold what HTTP cannot carry" in await world.reason(headers=headers)
        assert world.server.asked == []


class TestTls:
    """Whom we trust, and how we show who we are."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        """Return an authority nobody else knows."""
        return Authority(tmp_path, "authority").create()

    async def test_own_authority_and_client_certificate(self, authority: Authority) -> None:
        """A server that wants a certificate of ours is asked with the ones in the Secret, and only with them."""
        certificate, key = authority.issue("client")
        async with serving(Hook(), authority.server("server", authority)) as server:
            world = World(server)
            world.answers([number("1")])
            trusted = {"ca.crt": authority.certificate.read_bytes()}
            world.secrets = {
                "whole": {**trusted, "tls.crt": certificate.read_bytes(), "tls.key": key.read_bytes()},
                "half": trusted,
            }
            assert await world.ask(secretRef={"name": "whole"}) == NumbersAnswer((1.0,))
            assert "wants a client certificate gets tls.crt" in await world.reason(secretRef={"name": "half"})
            assert "cannot be trusted: TLS failed" in await world.reason()

    async def test_unchecked_certificate_is_taken(self, authority: Authority) -> None:
        """Only when the template says so."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*authority.issue("server"))
        async with serving(Hook(), context) as server:
            world = World(server)
            world.answers([number("1")])
            assert "cannot be trusted" in await world.reason()
            assert await world.ask(insecureSkipVerify=True) == NumbersAnswer((1.0,))


class TestFaults:
    """Nobody there, nobody who answers."""

    async def test_silent_server_is_given_up(self, world: World) -> None:
        """After the time-out, and without another try."""
        tried: list[int] = []

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tried.append(1)
            await reader.read()
            writer.close()

        world.seconds = BRIEF
        async with talking(silent) as url:
            assert "timed out: no whole answer within 0.5 s" in await world.reason(address=url)
        assert tried == [1]

    async def test_broken_connection_is_tried_once_more(self, world: World) -> None:
        """A kept connection may be cut just as it is used again."""
        tried: list[int] = []

        async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            tried.append(1)
            writer.close()

        async with talking(broken) as url:
            assert "broke the connection" in await world.reason(address=url)
        assert len(tried) == 2

    async def test_nobody_there_is_told(self, world: World) -> None:
        """In the operating system's words."""
        base = "http://127.0.0.1:9"
        assert await world.reason(address=base) == f"Prometheus at {base} cannot be reached: Connection refused"

    async def test_endless_answer_is_cut(self, world: World) -> None:
        """No answer takes all memory."""
        world.server.says(200, " " * (5 * 2**20))
        assert "gave more than 4 MB" in await world.reason()

    @pytest.mark.parametrize("address", ["http:///", "http://[::", "http://a:b/"])
    async def test_address_that_is_none_is_told(self, world: World, address: str) -> None:
        """A template stored before our definition may hold anything."""
        assert "address" in await world.reason(address=address)


class TestServers:
    """Which Prometheus is asked."""

    async def test_host_that_is_not_allowed_is_not_asked(self, world: World) -> None:
        """Nor one that only the node knows, whatever is allowed."""
        world.hosts = Hosts(("ci.example",))
        assert "is not asked: host 127.0.0.1 is not in the controller's hookHosts (ci.example)" in await world.reason()
        world.hosts = Hosts()
        said = await world.reason(address="http://169.254.169.254/latest")
        assert "which is never asked" in said
        assert world.server.asked == []

    async def test_redirect_is_not_followed(self, world: World) -> None:
        """Credentials go to nobody but whom the template names."""
        world.secrets = {"access": {"token": WORDS.encode()}}
        async with serving(Hook()) as other:
            world.server.says(307, Location=other.url)
            assert "redirects elsewhere (HTTP 307)" in await world.reason(secretRef={"name": "access"})
            assert other.asked == []

    async def test_query_without_address_asks_the_controllers_server(self, world: World) -> None:
        """An inline query goes where the built-in checks go."""
        world.answers([number("3")])
        assert await world.ask(address=None) == NumbersAnswer((3.0,))

    async def test_questions_about_istio_go_to_the_server_they_name(self, world: World) -> None:
        """Those of a Canary with a server of its own go there alone."""
        nobody = "http://127.0.0.1:9"
        minute = timedelta(minutes=1)
        for query in (
            CheckQuery("c", "istio_requests_total", "shop", "a", "b", minute, AT, nobody),
            DrainQuery("shop", "a", AT, AT, server=nobody),
            LabelsQuery("shop", "a", AT, nobody),
        ):
            answer = await world.measure(query)
            assert isinstance(answer, Unavailable)
            assert answer.reason.startswith(f"Prometheus at {nobody} cannot be reached")
        assert world.server.asked == []
        await world.measure(LabelsQuery("shop", "a", AT))
        assert world.server.paths == ["/metrics/api/v1/query"]

    async def test_other_questions_are_refused(self, world: World) -> None:
        """Those about the cluster have their own adapter."""
        answer = await world.measure(GoneQuery(CanaryKey("flagger.app", "shop", "x")))
        assert isinstance(answer, Unavailable)

    async def test_errors_are_counted(self, world: World) -> None:
        """Who counts failed queries is told of each, and how long each took."""
        told: list[str] = []
        took: list[float] = []
        asker = Asker("tests", seconds=PATIENCE)
        measurer = CheckMeasurer(world.base, world.find, asker, on_error=told.append, on_answer=took.append)
        world.server.says(503)
        provider = MetricProvider(type="prometheus", address=world.base)
        await measurer.measure(CustomQuery("errors", 0, provider, "up", "shop", AT))
        await measurer.measure(LabelsQuery("shop", "a", AT))
        await measurer.close()
        assert (len(told), len(took)) == (2, 2)
