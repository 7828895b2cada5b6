"""The condition of a cohort: Istio's HTTPMatchRequest."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from canary.api.wire import Bool, Labels, Port, Text, WireModel, Word

# Istio takes no empty prefix and no empty or longer regex.
Pattern = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


class StringMatch(WireModel):
    """A condition on one text, with at most one key; without keys any text will do."""

    exact: Text | None = Field(None, description="The whole text.")
    prefix: Pattern | None = Field(None, description="How the text begins.")
    regex: Pattern | None = Field(None, description="RE2 expression of the whole text.")
    suffix: Word | None = Field(None, description="Not known to Istio; use regex.")


StringMatches = Annotated[dict[str, StringMatch], Field(max_length=16)]


class Condition(WireModel):
    """A condition on one request, all parts of which must hold."""

    name: Word = Field("", description="Name of the condition, for access logs.")
    uri: StringMatch | None = Field(None, description="Path of the request.")
    scheme: StringMatch | None = Field(None, description="`http` or `https`.")
    method: StringMatch | None = Field(None, description="Method of the request.")
    authority: StringMatch | None = Field(None, description="Host header of the request.")
    headers: StringMatches = Field({}, description="Headers by name in lower case; `{}` asks for presence.")
    port: Port | None = Field(None, description="Port the request is addressed to.")
    source_labels: Labels = Field({}, description="Labels of the calling pod.")
    gateways: tuple[Text, ...] = Field((), max_length=64, description="Gateways the request comes by.")
    query_params: StringMatches = Field({}, description="Query parameters by name; `{}` asks for presence.")
    ignore_uri_case: Bool = Field(False, description="Whether upper and lower case are alike in uri.")
    without_headers: StringMatches = Field({}, description="Headers the request must not have, by name.")
    source_namespace: Word = Field("", description="Namespace of the calling pod.")

    @property
    def wire(self) -> dict[str, Any]:
        """Return the condition as Istio writes it, without what is absent or empty."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


Conditions = Annotated[tuple[Condition, ...], Field(max_length=16)]


def cohort_of(conditions: Conditions) -> tuple[dict[str, Any], ...]:
    """Return the conditions of a cohort, any of which may hold, as Istio writes them."""
    return tuple(condition.wire for condition in conditions)
