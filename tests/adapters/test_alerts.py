"""Alerts over HTTP: the form of each receiver, what is tried again, and what is never said."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import structlog
from tenacity import wait_none

from canary.adapters.alerts import ATTEMPTS, AlertSender
from canary.adapters.outbox import LONGEST
from canary.adapters.resolver import Lookup
from canary.api.alert_provider import FORMS, AlertProviderSpec
from canary.core.alerts import AlertCall
from canary.core.hosts import ANY_HOST, Hosts
from canary.core.objects import FLAGGER_CANARY, FLAGGER_PROVIDER, CanaryKey, Object, Ref
from canary.ports import ClusterError, Refused
from tests.adapters.hooks import Hook, serving

PROVIDER = Ref(FLAGGER_PROVIDER, "ops", "on-call")
KEY = CanaryKey(FLAGGER_CANARY.group, "shop", "catalog")
FACTS = (("Phase", "Failed"), ("Failed checks", "5 of 5"))
MESSAGE = "Rolled back revision abc: errors < 1 & more"
HIDDEN = "T0000-SECRET"
TOKEN = "xoxb-SECRET"


def call(url: str, kind: str = "webhook", severity: Any = "error", **spec: Any) -> AlertCall:
    """Return one alert."""
    given = AlertProviderSpec.model_validate({"type": kind, **({"address": url} if url else {}), **spec})
    payload = {"name": "catalog", "namespace": "shop", "phase": "Failed", "metadata": {"eventMessage": MESSAGE}}
    return AlertCall("id-1", KEY, PROVIDER, 1, given, severity, MESSAGE, FACTS, payload)


def secret(**values: str) -> Object:
    """Return a Secret."""
    return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}}


class Desk:
    """A sender, the Secret it finds, and what came of its alerts."""

    def __init__(
        self, seconds: float = 5.0, farewell: float = 2.0, hosts: Hosts = ANY_HOST, lookup: Lookup = socket.getaddrinfo
    ) -> None:
        self.found: Object | ClusterError | None = None
        self.read: list[Ref] = []
        self.counted: list[tuple[str, str]] = []
        self.ended: list[str] = []
        self.sender = AlertSender(
            "canary-test/1",
            self._read,
            wait=wait_none(),
            seconds=seconds,
            farewell=farewell,
            hosts=hosts,
            lookup=lookup,
            on_alert=lambda kind, outcome: self.counted.append((kind, outcome)),
        )

    async def _read(self, ref: Ref) -> Object | None:
        self.read.append(ref)
        if isinstance(self.found, ClusterError):
            raise self.found
        return self.found

    async def send(self, *calls: AlertCall) -> list[str]:
        """Send alerts and return how each ended."""
        await self.all_ended(len(self.ended) + len(calls), calls)
        return self.ended

    async def all_ended(self, count: int, calls: Sequence[AlertCall]) -> None:
        """Send alerts and wait until so many have ended since the start."""
        done = asyncio.Event()

        def ended(one: AlertCall, fault: str) -> None:
            self.ended.append(fault)
            if len(self.ended) == count:
                done.set()

        self.sender.alert(calls, ended)
        async with asyncio.timeout(10):
            await done.wait()


@pytest.fixture
async def hook() -> AsyncIterator[Hook]:
    """Return a receiver that takes everything."""
    async with serving(Hook()) as served:
        yield served


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """Return a sender that does not wait between attempts."""
    made = Desk()
    yield made
    await made.sender.close()


async def sent(desk: Desk, hook: Hook, kind: str, **more: Any) -> dict[str, Any]:
    """Return what a receiver of a type gets."""
    assert await desk.send(call(hook.url, kind, **more)) == [""]
    ((_, body),) = hook.asked
    found: dict[str, Any] = json.loads(body)
    return found


class TestForms:
    """What each receiver gets."""

    @pytest.mark.parametrize(
        ("kind", "colour", "text"),
        [
            ("slack", "danger", "Rolled back revision abc: errors &lt; 1 &amp; more"),
            ("discord", "danger", "Rolled back revision abc: errors &lt; 1 &amp; more"),
            ("rocket", "#FF0000", MESSAGE),
        ],
    )
    async def test_attachment(self, desk: Desk, hook: Hook, kind: str, colour: str, text: str) -> None:
        """Slack's form, with the channel and the name that the AlertProvider gives."""
        body = await sent(desk, hook, kind, channel="ops", username="flagger")
        (attachment,) = body["attachments"]
        assert (body["channel"], body["username"]) == ("ops", "flagger")
        assert (attachment["color"], attachment["author_name"], attachment["text"]) == (colour, "catalog.shop", text)
        assert attachment["fields"] == [
            {"title": "Phase", "value": "Failed", "short": True},
            {"title": "Failed checks", "value": "5 of 5", "short": True},
        ]
        assert hook.paths == ["/check/slack" if kind == "discord" else "/check"]

    async def test_defaults(self, desk: Desk, hook: Hook) -> None:
        """Channel and name as Flagger has them, and one colour for each severity."""
        bodies = []
        for number, severity in enumerate(("info", "warn")):
            await desk.send(call(hook.url, "slack", severity))
            bodies.append(json.loads(hook.asked[number][1]))
            desk.ended.clear()
        assert [(one["channel"], one["username"]) for one in bodies] == [("general", "canary")] * 2
        assert [one["attachments"][0]["color"] for one in bodies] == ["good", "warning"]

    async def test_card_of_teams(self, desk: Desk, hook: Hook) -> None:
        """An Adaptive Card in a message."""
        body = await sent(desk, hook, "msteams")
        (attachment,) = body["attachments"]
        title, text, facts = attachment["content"]["body"]
        assert (body["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
        assert (attachment["content"]["type"], title["text"], title["color"]) == (
            "AdaptiveCard",
            "catalog.shop",
            "Attention",
        )
        assert (text["text"], text["wrap"]) == (MESSAGE, True)
        assert facts["facts"][0] == {"title": "Phase", "value": "Failed"}

    async def test_card_of_google_chat(self, desk: Desk, hook: Hook) -> None:
        """A card whose texts are escaped."""
        (card,) = (await sent(desk, hook, "gchat"))["cardsV2"]
        said, facts = card["card"]["sections"]
        assert (card["cardId"], card["card"]["header"]["subtitle"]) == ("id-1", "catalog.shop")
        assert "errors &lt; 1 &amp; more" in said["widgets"][0]["textParagraph"]["text"]
        assert facts["widgets"][1]["decoratedText"] == {"topLabel": "Failed checks", "text": "5 of 5"}

    async def test_payload_of_a_webhook(self, desk: Desk, hook: Hook) -> None:
        """What a program needs, with the id that tells an alert that came twice."""
        body = await sent(desk, hook, "webhook")
        assert body == {**call(hook.url).payload, "id": "id-1"}
        request, _ = hook.asked[0]
        assert (request.headers["X-Request-Id"], request.headers["User-Agent"]) == ("id-1", "canary-test/1")

    @pytest.mark.parametrize("kind", FORMS)
    async def test_every_type_is_sent(self, desk: Desk, hook: Hook, kind: str) -> None:
        """There is a form for each type that is admitted, and it is counted."""
        assert await sent(desk, hook, kind)
        assert desk.counted == [(kind, "sent")]


class TestAddresses:
    """Where an alert goes."""

    async def test_secret_is_read_when_it_is_needed(self, desk: Desk, hook: Hook) -> None:
        """That of the provider's namespace, and its address before the one of the spec; the token is Slack's alone."""
        desk.found = secret(address=f"{hook.url}\n", token=TOKEN)
        named = {"secretRef": {"name": "url"}}
        assert await desk.send(call("http://127.0.0.1:9/", "rocket", **named), call("", "slack", **named)) == ["", ""]
        assert {str(ref) for ref in desk.read} == {"Secret ops/url"}
        assert [one.headers.get("Authorization") for one, _ in hook.asked] == [None, f"Bearer {TOKEN}"]

    async def test_provider_without_a_secret_reads_none(self, desk: Desk, hook: Hook) -> None:
        """No Secret is named, none is read."""
        await desk.send(call(hook.url))
        assert desk.read == []

    async def test_token_with_the_address_of_the_spec(self, desk: Desk, hook: Hook) -> None:
        """A bot of Slack may have its address in the spec."""
        desk.found = secret(token=TOKEN)
        assert await desk.send(call(hook.url, "slack", secretRef={"name": "bot"})) == [""]
        assert hook.asked[0][0].headers["Authorization"] == f"Bearer {TOKEN}"

    async def test_discord_keeps_the_query(self, desk: Desk, hook: Hook) -> None:
        """A thread is named there; an address that is Slack's already stays."""
        await desk.send(call(f"{hook.url}?thread_id=1", "discord"), call(f"{hook.url}/slack", "discord"))
        assert [one.path_qs for one, _ in hook.asked] == ["/check/slack?thread_id=1", "/check/slack"]

    async def test_proxy_is_asked(self, desk: Desk, hook: Hook) -> None:
        """The receiver is reached by it alone."""
        proxy = hook.url.removesuffix("/check")
        assert await desk.send(call("http://nowhere.test/hook", proxy=proxy)) == [""]
        assert hook.asked[0][0].headers["Host"] == "nowhere.test"

    @pytest.mark.parametrize(
        ("found", "words"),
        [
            (None, "has no address: Secret ops/url not found; create it"),
            (secret(url="x"), "has no address: Secret ops/url has no key address; add it"),
            (secret(address="a\nb"), "cannot be used: address of Secret ops/url is more than one line of text"),
            (secret(address=HIDDEN), "has an address that is none; name one such as https://hooks.example/team"),
            (
                Refused("403: no"),
                "has no address: Secret ops/url cannot be read (403: no); allow the controller to get it",
            ),
        ],
    )
    async def test_secret_that_is_missing_or_wrong(
        self, desk: Desk, hook: Hook, found: Object | ClusterError | None, words: str
    ) -> None:
        """The sentence names object and key, and nothing that is in it."""
        desk.found = found
        assert await desk.send(call("", secretRef={"name": "url"})) == [f"AlertProvider ops/on-call {words}"]
        assert (hook.asked, desk.counted) == ([], [("webhook", "failed")])


class TestFaults:
    """What is tried again, and for how long."""

    @pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
    async def test_fault_that_passes_is_tried_again(self, desk: Desk, hook: Hook, status: int) -> None:
        """With the same id, until it is taken."""
        hook.answers = [(status, "", {}), (status, "", {}), (200, "", {})]
        assert await desk.send(call(hook.url)) == [""]
        assert [one.headers["X-Request-Id"] for one, _ in hook.asked] == ["id-1"] * 3
        assert desk.counted == [("webhook", "sent")]

    @pytest.mark.parametrize(("status", "attempts"), [(500, ATTEMPTS), (404, 1), (302, 1)])
    async def test_fault_that_stays_is_told(self, desk: Desk, hook: Hook, status: int, attempts: int) -> None:
        """A bounded number of attempts; a redirect is not followed, wherever it leads."""
        hook.says(status, f"no such hook {HIDDEN}", Location="/elsewhere")
        (fault,) = await desk.send(call(f"{hook.url}/{HIDDEN}"))
        assert fault == f"the receiver of AlertProvider ops/on-call answered HTTP {status}"
        assert len(hook.asked) == attempts
        assert desk.counted == [("webhook", "failed")]

    async def test_no_of_slack_comes_with_a_200(self, desk: Desk, hook: Hook) -> None:
        """Its API says in the body whether a bot's message was taken."""
        hook.answers = [(200, '{"ok":false,"error":"invalid_auth"}', {}), (200, '{"ok":true}', {}), (200, "ok", {})]
        faults = await desk.send(*[call(hook.url, "slack")] * 3)
        assert faults == ["the receiver of AlertProvider ops/on-call answered invalid_auth", "", ""]

    async def test_receiver_that_hangs_or_is_gone(self) -> None:
        """Attempts end by themselves."""
        desk = Desk(seconds=0.02)
        release = asyncio.Event()

        class Slow(Hook):
            async def answer(self, request: Any) -> Any:
                await release.wait()
                return await super().answer(request)

        async with serving(Slow()) as slow:
            faults = await desk.send(call(slow.url), call("http://127.0.0.1:9/"))
            release.set()
        assert [one.removeprefix("the receiver of AlertProvider ops/on-call ") for one in faults] == [
            "did not answer within 0.02 s",
            "cannot be reached: Connection refused",
        ]
        await desk.sender.close()

    async def test_process_that_ends_drops_what_waits_and_says_so(self, hook: Hook) -> None:
        """What is under way gets a moment; then it counts as dropped, as what waits behind it."""
        desk = Desk(farewell=0.02)
        hung = asyncio.Event()

        class Hung(Hook):
            async def answer(self, request: Any) -> Any:
                await hung.wait()
                return await super().answer(request)

        async with serving(Hung()) as slow:
            desk.sender.alert([call(slow.url)] * 2, lambda one, fault: None)
            await desk.sender.close()
            hung.set()
        assert desk.counted == [("webhook", "dropped")] * 2

    async def test_one_that_hangs_delays_no_other_and_queues_are_bounded(self, desk: Desk, hook: Hook) -> None:
        """Alerts by another provider arrive; what is too much for the slow one is counted as dropped."""
        let = asyncio.Event()

        class Slow(Hook):
            async def answer(self, request: Any) -> Any:
                await let.wait()
                return await super().answer(request)

        async with serving(Slow()) as slow:
            desk.sender.alert([call(slow.url)], lambda one, fault: None)
            await asyncio.sleep(0)
            waiting = asyncio.create_task(desk.all_ended(LONGEST + 1, [call(slow.url)] * (LONGEST + 2)))
            other = replace(call(hook.url), provider=replace(PROVIDER, name="other"))
            assert await desk.send(other) == [""]
            assert desk.counted == [("webhook", "dropped")] * 2 + [("webhook", "sent")]
            let.set()
            await waiting
            assert desk.counted.count(("webhook", "sent")) == LONGEST + 2


@pytest.mark.parametrize("status", [200, 302, 404, 503])
async def test_nothing_secret_is_ever_said(hook: Hook, status: int) -> None:
    """Neither logs nor what the Canary is told hold a part of the address or the token, whatever happens."""
    desk = Desk()
    desk.found = secret(address=f"{hook.url}/{HIDDEN}?key={HIDDEN}", token=TOKEN)
    hook.says(status, f'{{"ok":false,"error":"{HIDDEN}"}}', Location=f"http://other.test/{HIDDEN}")
    calls = [call(f"http://user:{HIDDEN}@127.0.0.1:9/{HIDDEN}", "slack"), call("", "slack", secretRef={"name": "url"})]
    calls.append(call(f"https://[{HIDDEN}/{HIDDEN}", "webhook"))
    with structlog.testing.capture_logs() as logs:
        faults = await desk.send(*calls)
        await desk.sender.close()
    assert len([one for one in faults if one]) == 3
    for said in (str(faults), str(logs), repr(calls)):
        assert "SECRET" not in said
        assert "127.0.0.1" not in said


class TestHosts:
    """Who is sent nothing."""

    @pytest.mark.parametrize(
        ("url", "more", "host"),
        [
            ("https://other.example/team", {}, "other.example"),
            ("https://hooks.example/team", {"proxy": "http://other.example:3128"}, "other.example"),
            ("http://169.254.169.254/latest", {}, "169.254.169.254"),
        ],
    )
    async def test_host_that_is_not_allowed_is_named_and_asked_nothing(
        self, url: str, more: dict[str, Any], host: str
    ) -> None:
        """The address, of AlertProvider or Secret, and the proxy are held against the list before anything is sent."""
        asked: list[Any] = []

        def lookup(*name: Any) -> Any:
            asked.append(name)
            raise OSError

        desk = Desk(hosts=Hosts(("hooks.example",)), lookup=lookup)
        (fault,) = await desk.send(call(url, **more))
        assert fault.startswith(f"{PROVIDER} is not sent to: host {host} is ")
        assert asked == []
        await desk.sender.close()
