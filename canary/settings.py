"""The settings of ``canary run``, from environment variables and flags; a flag wins."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from canary.api.duration import format_duration, parse_duration
from canary.core.election import Terms
from canary.core.runs import Limits

IN_CLUSTER = "KUBERNETES_SERVICE_HOST"

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where a pod reads which namespace it is in."""

_BRIEFEST, _LONGEST = timedelta(seconds=1), timedelta(hours=1)
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class SettingsError(Exception):
    """A setting is wrong; the message is one line that names it, its value and what would be right."""


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError("give a name of lower-case letters, digits, '-' and '.'")
    return value


def _namespace(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError("give one namespace: lower-case letters, digits and '-'")
    return value


def _identity(value: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,200}", value) or set("()") & set(value):
        raise ValueError("give at most 200 letters, digits and signs without blanks and parentheses")
    return value


def _duration(value: str) -> timedelta:
    try:
        duration = parse_duration(value)
    except ValueError:
        duration = timedelta(0)
    if not _BRIEFEST <= duration <= _LONGEST:
        raise ValueError("give whole seconds from 1s to 1h, such as 10s or 1m")
    return duration


def _url(value: str) -> str:
    wrong = "give an http:// or https:// URL such as http://prometheus.istio-system:9090"
    try:
        parts = urlsplit(value)
        sound = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        sound = False
    if not sound or parts.query or parts.fragment or re.search(r"\s", value):
        raise ValueError(wrong)
    return value.rstrip("/")


def _namespaces(value: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in value.split(","))) if value.strip() else ()
    for name in names:
        if not _LABEL.fullmatch(name):
            raise ValueError(
                f"{name!r} is no namespace; give names of lower-case letters, digits and '-', "
                "separated by commas, or nothing for all"
            )
    return names


def _hosts(value: str) -> tuple[str, ...]:
    patterns = tuple(dict.fromkeys(one.strip().lower() for one in value.split(","))) if value.strip() else ()
    for one in patterns:
        if not _NAME.fullmatch(one.removeprefix("*.")):
            raise ValueError(
                f"{one!r} is no host; give names such as ci.example.com or *.tools.svc.cluster.local, "
                "separated by commas, or nothing for all"
            )
    return patterns


def _switch(value: str) -> bool:
    switches = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}
    if value.lower() not in switches:
        raise ValueError("give true or false")
    return switches[value.lower()]


def _port(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value) or int(value) > 65535:
        raise ValueError("give a whole number from 1 to 65535, or 0 for no HTTP server")
    return int(value)


def _limit(value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", value):
        raise ValueError("give a whole number of at most five digits, or 0 for no limit")
    return int(value)


def _level(value: str) -> str:
    if value.lower() not in ("debug", "info", "warning", "error"):
        raise ValueError("give debug, info, warning or error")
    return value.lower()


def _format(value: str) -> str:
    if value.lower() not in ("json", "console"):
        raise ValueError("give json or console")
    return value.lower()


def kubeconfig_files(value: str | None) -> str | None:
    """Return those of the files named that are there, checked; ValueError says what is wrong with them."""
    # kubectl's KUBECONFIG may name several files; as there, those that are missing do not count.
    paths = [Path(part).expanduser() for part in (value or "").split(os.pathsep) if part]
    if not paths:
        return None
    found = [path for path in paths if path.is_file()]
    if not found:
        raise ValueError("there is no such file; give the path of a kubeconfig file")
    for path in found:
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as fault:
            raise ValueError(f"cannot be read ({fault}); give the path of a kubeconfig file") from fault
        except yaml.YAMLError as fault:
            raise ValueError("is not YAML; give the path of a kubeconfig file") from fault
        if not isinstance(content, dict) or "clusters" not in content:
            raise ValueError("names no clusters; give the path of a kubeconfig file")
    return os.pathsep.join(str(path) for path in found)


class Settings(BaseModel):
    """Hold the settings, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metrics_server: Annotated[str, BeforeValidator(_url)]
    namespaces: Annotated[tuple[str, ...], BeforeValidator(_namespaces)] = ()
    flagger_compat: Annotated[bool, BeforeValidator(_switch)] = False
    hook_hosts: Annotated[tuple[str, ...], BeforeValidator(_hosts)] = ()
    pin_secrets: Annotated[bool, BeforeValidator(_switch)] = False
    max_concurrent_runs: Annotated[int, BeforeValidator(_limit)] = 0
    max_concurrent_runs_per_namespace: Annotated[int, BeforeValidator(_limit)] = 0
    log_level: Annotated[str, BeforeValidator(_level)] = "info"
    log_format: Annotated[Literal["json", "console"], BeforeValidator(_format)] = "json"
    http_host: str = Field(default="0.0.0.0", min_length=1)
    http_port: Annotated[int, BeforeValidator(_port)] = 8080
    api: Annotated[bool, BeforeValidator(_switch)] = False
    api_audience: str = ""
    kubeconfig: Annotated[str | None, BeforeValidator(kubeconfig_files)] = None
    context: str | None = None
    leader_election: Annotated[bool, BeforeValidator(_switch)] = False
    lease_namespace: Annotated[str, BeforeValidator(_namespace)] = "default"
    lease_name: Annotated[str, BeforeValidator(_name)] = "canary-controller"
    lease_identity: Annotated[str, BeforeValidator(_identity)] = Field(default_factory=socket.gethostname)
    lease_duration: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(seconds=10)
    renew_deadline: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(seconds=7)
    retry_period: Annotated[timedelta, BeforeValidator(_duration)] = timedelta(seconds=2)

    @property
    def limits(self) -> Limits:
        """Return how many runs may be under way at once."""
        return Limits(self.max_concurrent_runs, self.max_concurrent_runs_per_namespace)

    @property
    def terms(self) -> Terms:
        """Return how the lease is kept."""
        return Terms(self.lease_duration, self.renew_deadline, self.retry_period)


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return f"CANARY_{name.upper()}"


def flag(name: str) -> str:
    """Return the command-line flag of a setting."""
    return "--" + name.replace("_", "-")


def load(
    flags: Mapping[str, str | None], environ: Mapping[str, str], namespace_file: Path = NAMESPACE_FILE
) -> Settings:
    """Return the settings that flags (None = not given) and environment make, or raise SettingsError."""
    values, sources = _given(flags, environ)
    if "lease_namespace" not in values and (own := _own_namespace(namespace_file)):
        values["lease_namespace"], sources["lease_namespace"] = own, str(namespace_file)
    settings = _checked(values, sources)
    if settings.leader_election:
        _check_election(settings, sources)
    if settings.api and not settings.http_port:
        raise SettingsError(f"{sources['api']}: give a {flag('http_port')} other than 0 with it")
    return settings


def _given(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values that flags and environment give, and where each is from."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name in Settings.model_fields:
        if (given := flags.get(name)) is not None:
            values[name], sources[name] = given, flag(name)
        elif (set_to := environ.get(variable(name))) is not None and set_to != "":
            values[name], sources[name] = set_to, variable(name)
    if "kubeconfig" not in values and IN_CLUSTER not in environ:
        default = environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
        source = "KUBECONFIG" if environ.get("KUBECONFIG") else f"{flag('kubeconfig')} (default)"
        values["kubeconfig"], sources["kubeconfig"] = default, source
    return values, sources


def _checked(values: Mapping[str, Any], sources: Mapping[str, str]) -> Settings:
    try:
        settings = Settings(**values)
    except ValidationError as fault:
        raise SettingsError(_line(fault, values, sources)) from None
    if settings.context and not settings.kubeconfig:
        raise SettingsError(f"{sources['context']} {settings.context!r}: give {flag('kubeconfig')} with it")
    return settings


def _own_namespace(file: Path) -> str:
    """Return the namespace of the pod we are in, nothing outside of one."""
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _check_election(settings: Settings, sources: Mapping[str, str]) -> None:
    """Refuse a lease that nobody knows the place of, or that could have two holders."""
    if "lease_namespace" not in sources:
        both = f"{flag('lease_namespace')} or {variable('lease_namespace')}"
        raise SettingsError(f"{both} is missing: give the namespace of the lease, which all replicas share")
    for longer, shorter in (("lease_duration", "renew_deadline"), ("renew_deadline", "retry_period")):
        least, most = getattr(settings, shorter), getattr(settings, longer)
        if most <= least:
            name, limit = (sources.get(one, f"{flag(one)} (default)") for one in (longer, shorter))
            raise SettingsError(
                f"{name} {format_duration(most)!r}: give more than {limit}, which is {format_duration(least)}"
            )


def _line(fault: ValidationError, values: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    error = fault.errors()[0]
    name = str(error["loc"][0])
    if error["type"] == "missing":
        return f"{flag(name)} or {variable(name)} is missing: give the URL of Prometheus"
    words = str(error["ctx"]["error"]) if "error" in error.get("ctx", {}) else error["msg"]
    return " ".join(f"{sources[name]} {values[name]!r}: {words}".split())
