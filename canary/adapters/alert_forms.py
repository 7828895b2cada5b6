"""Alerts in the form that each kind of receiver takes, and where they are posted."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from typing import Any

from yarl import URL

from canary.api.alert_provider import DISCORD, GOOGLE_CHAT, ROCKET, SLACK, TEAMS, WEBHOOK
from canary.core.alerts import AlertCall

CHANNEL, USERNAME = "general", "canary"
"""Where alerts go and by what name when the AlertProvider does not say."""
SLACK_API = "https://slack.com/api/chat.postMessage"
"""Where a bot of Slack posts."""
_SLACK_COLOURS = {"info": "good", "warn": "warning", "error": "danger"}
_HEX_COLOURS = {"info": "#0076D7", "warn": "#FFA500", "error": "#FF0000"}
_CARD_COLOURS = {"info": "Default", "warn": "Warning", "error": "Attention"}

Form = Callable[[AlertCall], Mapping[str, Any]]


def _subject(call: AlertCall) -> str:
    return f"{call.key.name}.{call.key.namespace}"


def _plain(text: str) -> str:
    """Return a text that Slack shows as it is: these three would begin links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def slack(call: AlertCall) -> Mapping[str, Any]:
    """Return a message with one attachment."""
    return _attached(call, _SLACK_COLOURS[call.severity], _plain)


def discord(call: AlertCall) -> Mapping[str, Any]:
    """Return a message in Slack's form, which Discord takes at an address that ends with /slack."""
    return _attached(call, _SLACK_COLOURS[call.severity], _plain)


def rocket(call: AlertCall) -> Mapping[str, Any]:
    """Return a message of Rocket.Chat, whose integrations take Slack's form."""
    return _attached(call, _HEX_COLOURS[call.severity], str)


def _attached(call: AlertCall, colour: str, written: Callable[[str], str]) -> Mapping[str, Any]:
    attachment = {
        "color": colour,
        "author_name": _subject(call),
        "fallback": written(call.message),
        "text": written(call.message),
        "mrkdwn_in": ["text"],
        "fields": [{"title": name, "value": written(value), "short": True} for name, value in call.facts],
    }
    channel, username = call.spec.channel or CHANNEL, call.spec.username or USERNAME
    return {"channel": channel, "username": username, "icon_emoji": ":rocket:", "attachments": [attachment]}


def teams(call: AlertCall) -> Mapping[str, Any]:
    """Return an Adaptive Card, which workflows and incoming webhooks of Teams take."""
    title = {"type": "TextBlock", "text": _subject(call), "weight": "Bolder", "color": _CARD_COLOURS[call.severity]}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            title,
            {"type": "TextBlock", "text": call.message, "wrap": True},
            {"type": "FactSet", "facts": [{"title": name, "value": value} for name, value in call.facts]},
        ],
    }
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def google_chat(call: AlertCall) -> Mapping[str, Any]:
    """Return a card of Google Chat, whose texts are a kind of HTML."""
    colour = _HEX_COLOURS[call.severity]
    said = f'<font color="{colour}"><b>{html.escape(call.message)}</b></font>'
    facts = [{"decoratedText": {"topLabel": name, "text": html.escape(value)}} for name, value in call.facts]
    sections = [{"widgets": [{"textParagraph": {"text": said}}]}, {"widgets": facts}]
    card = {"header": {"title": "Canary", "subtitle": _subject(call)}, "sections": sections}
    return {"cardsV2": [{"cardId": call.id, "card": card}]}


def webhook(call: AlertCall) -> Mapping[str, Any]:
    """Return what a program needs; the id is the same when an alert comes twice."""
    return {**call.payload, "id": call.id}


FORMS: Mapping[str, Form] = {
    SLACK: slack,
    TEAMS: teams,
    DISCORD: discord,
    ROCKET: rocket,
    GOOGLE_CHAT: google_chat,
    WEBHOOK: webhook,
}


def place(call: AlertCall, address: URL) -> URL:
    """Return where an alert is posted: Discord takes Slack's form at an address of its own."""
    if call.spec.type != DISCORD or address.path.endswith("/slack"):
        return address
    return address.with_path(f"{address.path.rstrip('/')}/slack", keep_query=True)
