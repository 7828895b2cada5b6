"""What a VirtualService may hold, and what it may not: changes to the service of a Canary."""

from collections.abc import Iterator
from typing import Any

S = "spec.service"
ISTIO_DURATION = "a duration of at least 1ms as Istio writes it, such as 500ms, 1.5s, 2m or 1h"
HOST_WORDS = "a host without scheme, port and path, such as shop.example.com or *.shop.io"


def route_cases() -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield what no VirtualService may hold, wherever a Canary asks for it."""
    for text in ("soon", "5", "2 s", "0s", "-1s", "0.5ms", "1h2"):
        yield {f"{S}.timeout": text}, f"{S}.timeout", f'{S}.timeout is "{text}"; it must be {ISTIO_DURATION}'
    retries, delay, abort = f"{S}.retries.perTryTimeout", f"{S}.fault.delay.fixedDelay", f"{S}.fault.abort.httpStatus"
    yield {retries: "2sec"}, retries, f'{retries} is "2sec"; it must be {ISTIO_DURATION}'
    yield {delay: "later"}, delay, f'{delay} is "later"; it must be {ISTIO_DURATION}'
    yield {abort: 9000}, abort, f"{abort} is 9000; it must be at most 599"
    yield {abort: 0}, abort, f"{abort} is 0; it must be at least 200"
    for host in ("https://shop.example.com", "shop.example.com/items", "shop.example.com:80", ""):
        words = f'{S}.hosts[] is "{host}"; it must be {HOST_WORDS}'
        yield {f"{S}.hosts": ["*.shop.io", host]}, f"{S}.hosts[1]", words


ROUTES: list[dict[str, Any]] = [
    *({f"{S}.timeout": text} for text in ("0.5s", "1ms", ".5h", "1.s", "1h2m3.5s", "1000us", "1000000ns", "+1s")),
    {f"{S}.hosts": ["*.shop.io", "10.1.2.3", "2001:db8::1", "shop.example.com.", "*-shop.io", "Shop.io"]},
    {f"{S}.fault": {"abort": {"httpStatus": 599, "percentage": {"value": 5}}, "delay": {"fixedDelay": "0.5s"}}},
    {f"{S}.fault": {"abort": {"grpcStatus": "UNAVAILABLE"}}},
    {f"{S}.retries": {"attempts": 1, "perTryTimeout": "1h"}},
]
"""What a VirtualService may hold."""
