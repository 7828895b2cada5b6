"""Every kind of condition that a cohort can ask for, with real requests, beside conditions of the service (W58)."""

from dataclasses import dataclass

from e2e.findings import findings
from e2e.release import Release, manifests
from e2e.test_strategies import TOLD, begin, http, planned, wait_step
from e2e.testbed.kube import Object
from e2e.testbed.waiting import wait_until

TESTER = "tester"
SERVICE = [{"uri": {"prefix": "/"}, "port": 80}]
"""What service.match asks of every request."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who makes it, with which options of curl, for which path."""

    options: tuple[str, ...] = ()
    path: str = "/items"
    caller: str = "client"


def header(text: str, **call: str) -> Call:
    """Return a request with one header more."""
    return Call(("-H", text), **call)


CASES: list[tuple[Object, Call, Call]] = [
    ({"headers": {"x-group": {"exact": "staff"}}}, header("x-group: staff"), header("x-group: staffers")),
    ({"headers": {"x-group": {"prefix": "beta-"}}}, header("x-group: beta-7"), header("x-group: beta")),
    ({"headers": {"x-plan": {"regex": "free|tri.*"}}}, header("x-plan: trial"), header("x-plan: carefree")),
    (
        {"headers": {"cookie": {"regex": "(.*; *)?preview=yes(;.*)?"}}},
        header("cookie: lang=en; preview=yes; a=b"),
        header("cookie: lang=en; preview=yesterday"),
    ),
    ({"uri": {"exact": "/items/new"}}, Call(path="/items/new"), Call(path="/items/news")),
    ({"uri": {"prefix": "/items/next-"}}, Call(path="/items/next-1"), Call(path="/items/next")),
    ({"uri": {"regex": "/items/[0-9]+"}}, Call(path="/items/12"), Call(path="/items/12x")),
    ({"method": {"exact": "HEAD"}}, Call(("-I",)), Call()),
    ({"queryParams": {"beta": {"exact": "1"}}}, Call(path="/items?a=b&beta=1"), Call(path="/items?beta=12")),
    ({"sourceLabels": {"app": TESTER}}, Call(caller=TESTER), Call()),
    (
        {"headers": {"x-lab": {}}, "withoutHeaders": {"x-user": {"prefix": "real-"}}},
        header("x-lab: 1"),
        Call(("-H", "x-lab: 1", "-H", "x-user: real-9")),
    ),
]
"""A condition, a request that meets it and one that nearly does."""


def labelled_client() -> Object:
    """Return a client with a label of its own."""
    (found,) = manifests("client.yaml")
    found["metadata"]["name"] = TESTER
    found["spec"]["selector"]["matchLabels"] = found["spec"]["template"]["metadata"]["labels"] = {"app": TESTER}
    return found


def version(release: Release, call: Call) -> str:
    """Return the version that answers a request."""
    pod = release.testbed.pods.first(release.namespace, f"app={call.caller}")
    asked = ("curl", "-s", "-o", "/dev/null", "-w", "%header{x-version}", *call.options, f"http://catalog{call.path}")
    return release.testbed.pods.run(release.namespace, pod, *asked)


def test_cohort_is_whoever_meets_any_condition_of_any_kind(release: Release) -> None:
    """What nearly meets one goes where all others go, and no condition of the service is lost."""
    canary = planned(release, iterations=30, match=[condition for condition, _, _ in CASES], interval="10s")
    canary["spec"]["service"]["match"] = SERVICE
    release.apply(labelled_client())
    begin(release, canary)
    release.testbed.wait_ready(release.namespace, TESTER)
    release.apply(release.deployment("v2"))
    wait_step(release, 1)
    told = CASES[0][1]
    wait_until(lambda: version(release, told) == "v2", TOLD, lambda: version(release, told))
    answers = [(version(release, member), version(release, other)) for _, member, other in CASES]
    assert answers == [("v2", "v1")] * len(CASES), dict(zip(map(str, CASES), answers, strict=True))
    cohort, rest = http(release)
    assert cohort["match"] == [{**SERVICE[0], **condition} for condition, _, _ in CASES]
    assert rest["match"] == SERVICE
    assert findings(release) == []
