"""Option values of the command line: percentages, durations, spans of time."""

from __future__ import annotations

import argparse
import re
from datetime import timedelta
from typing import get_args

from canary.api.command import Verb
from canary.api.duration import parse_duration

_MILLISECONDS = re.compile(r"\+?(\d+(?:\.\d+)?)ms")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SECONDS = re.compile(r"\+?(\d+(?:\.\d+)?)s")


def percent(text: str) -> float:
    """Read `2%` or `2`."""
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f'"{text}" is not a percentage from 0% to 100%')
    return value


def rate(text: str) -> float:
    """Read requests per second."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 2000:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number of requests per second from 0 to 2000')
    return value


def header(text: str) -> tuple[str, str]:
    """Read `x-group: staff`; names of headers are in lower case, as Istio compares them."""
    name, colon, value = text.partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise argparse.ArgumentTypeError(f'"{text}" is not a header such as "x-group: staff"')
    return name.lower(), value.strip()


def command(text: str) -> tuple[Verb, float]:
    """Read `abort@90s` as a command and its moment."""
    verb, _, when = text.partition("@")
    known: tuple[Verb, ...] = get_args(Verb)
    for one in known:
        if verb == one and when:
            return one, moment(when)
    raise argparse.ArgumentTypeError(f'"{text}" is not a command such as abort@90s; there are {", ".join(known)}')


def finding(text: str) -> tuple[str, tuple[float, ...]]:
    """Read `error-percentage=7.5` as the name of a check and what it finds; after `=` may be nothing."""
    name, sign, number = text.rpartition("=")
    try:
        if name and sign:
            return name, (float(number),) if number else ()
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f'"{text}" is not what a check finds, such as error-percentage=7.5')


def latency(text: str) -> float:
    """Read `+300ms` or `+1.5s` as milliseconds."""
    if found := _MILLISECONDS.fullmatch(text):
        return float(found[1])
    if found := _SECONDS.fullmatch(text):
        return float(found[1]) * 1000
    raise argparse.ArgumentTypeError(f'"{text}" is not a latency such as +300ms or +1.5s')


def moment(text: str) -> float:
    """Read `90s` or `1m30s` as seconds."""
    try:
        return parse_duration(text) / timedelta(seconds=1)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def span(text: str) -> tuple[float, float]:
    """Read `60s..120s` as two moments."""
    start, dots, end = text.partition("..")
    if not dots:
        raise argparse.ArgumentTypeError(f'"{text}" is not a span of time such as 60s..120s')
    found = (moment(start), moment(end))
    if found[0] >= found[1]:
        raise argparse.ArgumentTypeError(f'"{text}" ends before it begins')
    return found
