"""What all wire models share: camelCase, frozen, and the types of single fields."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from canary.api.duration import (
    FORM,
    FORM_OR_ZERO,
    ISTIO_FORM,
    ISTIO_PATTERN,
    LONGEST_ISTIO_SECONDS,
    PATTERN,
    SHORTEST_ISTIO_SECONDS,
    istio_seconds,
    parse_duration,
)

PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
# Marks a form for the CRD generator, which writes it as a CEL rule with the words of admission.
FORM_RULE = "x-canary-form"
PORT_NAME = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
PORT_FORM = "a port from 1 to 65535 or the name of a container port"


class WireModel(BaseModel):
    """Read camelCase JSON, ignore unknown fields, never change."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        extra="ignore",
        frozen=True,
    )


def without_nulls(value: Any) -> Any:
    """Return a manifest as the API server takes it, which drops fields that are null."""
    if isinstance(value, Mapping):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list | tuple) else value


@dataclass(frozen=True, slots=True)
class Form:
    """A regular expression that a text must meet, and what such a text is in words."""

    pattern: str
    words: str

    def checked(self, text: str) -> str:
        """Return a text that has the form."""
        if re.fullmatch(self.pattern, text) is None:
            raise PydanticCustomError("form", self.words)
        return text

    def schema(self, longest: int, shortest: int = 0) -> dict[str, Any]:
        """Return the JSON schema of texts of the form."""
        rule = {"rule": f"self.matches('{self.pattern}')", "words": self.words}
        sizes = {"minLength": shortest} if shortest else {}
        return {"type": "string", "maxLength": longest, **sizes, FORM_RULE: rule}


def _duration(text: str) -> str:
    # Empty means absent, as in Flagger: the reader's default holds.
    try:
        too_short = bool(text) and not parse_duration(text)
    except ValueError:
        too_short = True
    if too_short:
        raise PydanticCustomError("form", FORM)
    return text


def _duration_or_zero(text: str) -> str:
    try:
        parse_duration(text or "0s")
    except ValueError:
        raise PydanticCustomError("form", FORM_OR_ZERO) from None
    return text


def _istio_duration(text: str) -> str:
    if text and not SHORTEST_ISTIO_SECONDS <= istio_seconds(text) <= LONGEST_ISTIO_SECONDS:
        raise PydanticCustomError("form", ISTIO_FORM)
    return text


def _port(given: object) -> int | str:
    if isinstance(given, int) and not isinstance(given, bool) and 1 <= given <= 65535:
        return given
    if isinstance(given, str) and re.fullmatch(PORT_NAME, given):
        return given
    raise PydanticCustomError("form", PORT_FORM)


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _whole_second(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(microsecond=0)


def _rfc3339(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


_DATE_TIME = WithJsonSchema({"type": "string", "format": "date-time"})
_AS_TEXT = PlainSerializer(_rfc3339, return_type=str, when_used="json")

Time = Annotated[AwareDatetime, AfterValidator(_utc), _AS_TEXT, _DATE_TIME]
WholeSecond = Annotated[AwareDatetime, AfterValidator(_whole_second), _AS_TEXT, _DATE_TIME]

Bool = Annotated[bool, Strict()]
Integer = Annotated[int, Strict(), WithJsonSchema({"type": "integer", "format": "int64"})]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Weight = Annotated[int, Strict(), Field(ge=0, le=100)]
Port = Annotated[int, Strict(), Field(ge=1, le=65535)]
Count = Annotated[int, Strict(), Field(ge=0, le=2147483647)]
Positive = Annotated[int, Strict(), Field(ge=1, le=2147483647)]

PortRef = Annotated[
    int | str,
    PlainValidator(_port),
    WithJsonSchema(
        {
            INT_OR_STRING: True,
            "maxLength": 63,
            FORM_RULE: {
                "rule": f"type(self) == int ? (self >= 1 && self <= 65535) : self.matches('{PORT_NAME}')",
                "words": PORT_FORM,
            },
        }
    ),
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=253)]
Word = Annotated[str, StringConstraints(max_length=253)]
Text = Annotated[str, StringConstraints(max_length=8192)]
Duration = Annotated[
    str,
    StringConstraints(max_length=32),
    AfterValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 32,
            FORM_RULE: {
                "rule": f"self == '' || (self.matches('{PATTERN}') && self.matches('[1-9]'))",
                "words": FORM,
            },
        }
    ),
]
DurationOrZero = Annotated[
    str,
    StringConstraints(max_length=32),
    AfterValidator(_duration_or_zero),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 32,
            FORM_RULE: {"rule": f"self.matches('{PATTERN}')", "words": FORM_OR_ZERO},
        }
    ),
]
IstioDuration = Annotated[
    str,
    StringConstraints(max_length=253),
    AfterValidator(_istio_duration),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": 253,
            FORM_RULE: {
                "rule": f"self == '' || (self.matches('{ISTIO_PATTERN}') && duration(self) >= duration('1ms'))",
                "words": ISTIO_FORM,
            },
        }
    ),
]

# A part of an Istio object that is carried as it stands, nothing pruned.
Opaque = Annotated[dict[str, Any], WithJsonSchema({"type": "object", PRESERVE: True})]
Labels = Annotated[dict[str, Text], Field(max_length=64)]
