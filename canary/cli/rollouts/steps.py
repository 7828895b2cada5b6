"""The steps of a Rollout as those of a Canary: the same weights in the same order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.cli.rollouts.judging import Judging
from canary.cli.rollouts.reading import Reading, read_seconds, written_seconds

_HELD = "in its place the release pauses until somebody resumes it"
_EVERY = ({"path": {"prefix": "/"}}, {"path": {"regex": ".*"}}, {"path": {"regex": "/.*"}})
"""What a mirror route matches that copies all requests."""
_TOLD = {
    "setCanaryScale": "the canary has the share of pods that its weight asks for, all of them for a cohort or with "
    "analysis.canaryScale: Full",
    "replicaProgressThreshold": "say analysis.canaryReadyThreshold, in percent",
}


@dataclass(slots=True)
class Steps:
    """The steps of one Canary as they are written."""

    reading: Reading
    judging: Judging
    written: list[dict[str, Any]] = field(default_factory=list)
    weight: int = 0
    cohorts: set[str] = field(default_factory=set)
    soaks: list[tuple[int, int]] = field(default_factory=list)

    def add(self, path: str, step: Mapping[str, Any]) -> None:
        """Take one step of the Rollout."""
        kinds = {
            "setWeight": self._weight,
            "pause": self._pause,
            "setHeaderRoute": self._cohort,
            "setMirrorRoute": self._mirror,
            "analysis": self._analysis,
            "experiment": self._nothing_like_it,
            "plugin": self._nothing_like_it,
        }
        self.reading.tell_rest(path, step, kinds, _TOLD)
        for name, take in kinds.items():
            if name in step:
                take(f"{path}.{name}", step[name])

    def finished(self) -> list[dict[str, Any]]:
        """Return all steps, once every check is known."""
        for index, lasts in self.soaks:
            self.written[index] = {"analysis": {"duration": written_seconds(max(lasts, self.judging.interval))}}
        return self.written

    def _weight(self, path: str, weight: object) -> None:
        if not isinstance(weight, int) or isinstance(weight, bool) or not 0 <= weight <= 100:
            self.reading.refuse(path, f"is {weight}, which is no percentage, and is left out")
        elif weight == 0 and not self.weight:
            self.reading.warn(path, "is 0 and is left out: a canary begins without requests")
        elif weight < self.weight:
            told = (
                f"after {self.weight}, and is left out: weights only rise, and a failed check takes them back at once"
            )
            self.reading.refuse(path, f"is {weight} {told}")
        else:
            self.weight = weight
            self.written.append({"setWeight": weight})

    def _pause(self, path: str, given: object) -> None:
        pause = self.reading.mapping(path, given)
        self.reading.tell_rest(path, pause, ("duration",), {})
        seconds = read_seconds(pause.get("duration"))
        if seconds:
            self.written.append({"pause": {"duration": written_seconds(seconds)}})
        elif seconds == 0:
            self.reading.warn(f"{path}.duration", "is 0 and is left out")
        else:
            self.written.append({"pause": {}})
            if pause.get("duration") is not None:
                self.reading.refuse(f"{path}.duration", f"is {pause['duration']!r}, which is no duration; {_HELD}")

    def _cohort(self, path: str, given: object) -> None:
        route = self.reading.mapping(path, given)
        self.reading.tell_rest(path, route, ("name", "match"), {})
        conditions = []
        for at, one in self.reading.entries(f"{path}.match", route.get("match")):
            self.reading.tell_rest(at, one, ("headerName", "headerValue"), {})
            value = self.reading.mapping(f"{at}.headerValue", one.get("headerValue"))
            self.reading.tell_rest(f"{at}.headerValue", value, ("exact", "regex", "prefix"), {})
            text = {key: value[key] for key in ("exact", "regex", "prefix") if value.get(key)}
            if not text:
                self.reading.refuse(f"{at}.headerValue", "says no exact, prefix or regex, and is left out")
                continue
            conditions.append({"headers": {str(one.get("headerName")).lower(): text}})
        name = str(route.get("name"))
        if not route.get("match"):
            self.reading.refuse(path, "takes a cohort back, and is left out: cohorts stay to the end of a release")
        elif name in self.cohorts:
            self.reading.refuse(path, f"sets {name} again: here the former cohort stays beside this one")
        if conditions:
            self.cohorts.add(name)
            self.written.append({"match": conditions})

    def _mirror(self, path: str, given: object) -> None:
        route = self.reading.mapping(path, given)
        self.reading.tell_rest(path, route, ("name", "match", "percentage"), {})
        if not route.get("match"):
            self.reading.warn(path, "is left out: copies end with the next step that sends the canary requests")
        elif not isinstance(route["match"], list) or not any(one in _EVERY for one in route["match"]):
            told = "here all requests are copied, those with side effects too: say mirror by hand if you mean that"
            self.reading.refuse(f"{path}.match", f"is left out with its step: {told}")
        elif self.weight:
            self.reading.refuse(path, "comes after a weight and is left out: copies are made before the first one")
        else:
            self.written.append({"mirror": {"percentage": route.get("percentage", 100)}})

    def _analysis(self, path: str, given: object) -> None:
        lasts = self.judging.add(path, given)
        if lasts is None:
            self._nothing_like_it(path, given)
        else:
            self.reading.warn(path, "is a time of judging; its checks are judged at all other steps too")
            self.soaks.append((len(self.written), lasts))
            self.written.append({})

    def _nothing_like_it(self, path: str, _: object) -> None:
        self.reading.refuse(path, f"has no counterpart; {_HELD}")
        self.written.append({"pause": {}})
