"""Configuration that a pod template refers to: what is pinned of it, and under which names copies are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.core.names import PREFIX, REVISION_LABEL, Owner, is_ours, owned_metadata
from canary.core.objects import CONFIG_MAP, SECRET, Object, Ref, Resource, annotations_of, canonical, labels_of

SOURCE = PREFIX + "source"
"""On a copy: the name of what was copied."""
OPT_OUT = (PREFIX + "config-tracking", "flagger.app/config-tracking")
DIGEST = "digest"
"""What stands for the content of an object in caches, which keep no bodies."""
LONGEST_NAME = 253

INJECTED = frozenset(
    {
        "kube-root-ca.crt",
        "istio-ca-root-cert",
        "istio-ca-crl",
        "openshift-service-ca.crt",
        "linkerd-identity-trust-roots",
    }
)
"""Certificates that others put into every namespace and renew: pods must read them live."""
_INJECTED_LABELS = {"config.openshift.io/inject-trusted-cabundle", "trust.cert-manager.io/bundle"}
_INJECTED_ANNOTATIONS = {"service.beta.openshift.io/inject-cabundle"}
MARKS = frozenset((*OPT_OUT, *_INJECTED_LABELS, *_INJECTED_ANNOTATIONS))
"""Foreign labels and annotations that say how an object is to be taken."""
_COPIED_SECRETS = ("Opaque", "kubernetes.io/basic-auth", "kubernetes.io/ssh-auth", "kubernetes.io/tls")
"""Other types are made and renewed by controllers of the cluster."""

_KINDS = {one.kind: one for one in (CONFIG_MAP, SECRET)}
_CONTENT = ("data", "binaryData", "type")

Pins = Mapping[str, Mapping[str, str]]
"""Digests by kind and name; a kind that is absent is not pinned: references to it stay live."""
Find = Callable[[Resource, str], Object | None]


@dataclass(frozen=True, slots=True, order=True)
class Source:
    """One ConfigMap or Secret that a template refers to."""

    resource: Resource
    name: str

    def __str__(self) -> str:
        return f"{self.resource.kind} {self.name}"

    @property
    def key(self) -> str:
        """Return its key in ``status.trackedConfigs``, as Flagger writes it."""
        return tracking_key(self.resource, self.name)


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the references of a template come to at one moment.

    ``missing``: required and not there.  ``live``: absent or opted out, so that the reference stays as it is.
    """

    pins: Pins = field(default_factory=dict)
    missing: tuple[Source, ...] = ()
    live: tuple[Source, ...] = ()

    def matches(self, pins: Pins) -> bool:
        """Return whether this is what was pinned, of the kinds that were; what is missing is no change."""
        absent = {(one.resource.kind, one.name) for one in self.missing}
        return all(
            {name: digest for name, digest in names.items() if (kind, name) not in absent} == self.pins[kind]
            for kind, names in pins.items()
            if kind in self.pins
        )

    def tracked(self, kinds: Iterable[str]) -> dict[str, str]:
        """Return ``status.trackedConfigs`` for some kinds: digests, empty for what is not pinned."""
        wanted = set(kinds)
        known = {tracking_key_of(kind, n): d for kind, ns in self.pins.items() if kind in wanted for n, d in ns.items()}
        others = {one.key: "" for one in (*self.missing, *self.live) if one.resource.kind in wanted}
        return dict(sorted({**known, **others}.items()))


def tracking_key(resource: Resource, name: str) -> str:
    """Return the key of an object in ``status.trackedConfigs``."""
    return tracking_key_of(resource.kind, name)


def tracking_key_of(kind: str, name: str) -> str:
    """Return the key of an object of a kind in ``status.trackedConfigs``."""
    return f"{kind.lower()}/{name}"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy that a revision needs."""

    source: Source
    name: str
    digest: str

    def ref(self, namespace: str) -> Ref:
        """Return where the copy lives."""
        return Ref(self.source.resource, namespace, self.name)


def look(template: Object, kinds: tuple[Resource, ...], find: Find) -> Configuration:
    """Return what the references of a template come to, of the kinds that are followed."""
    pins: dict[str, dict[str, str]] = {one.kind: {} for one in kinds}
    missing, live = [], []
    for source, required in sorted(references(template).items()):
        if source.resource not in kinds:
            continue
        found = find(source.resource, source.name)
        if found is not None and is_tracked(found):
            pins[source.resource.kind][source.name] = str(found[DIGEST])
        elif found is None and required:
            missing.append(source)
        else:
            live.append(source)
    return Configuration(pins, tuple(missing), tuple(live))


def references(template: Object) -> dict[Source, bool]:
    """Return what a template refers to, and whether pods need it to start."""
    found: dict[Source, bool] = {}
    for resource, holder, name_field in _places(template.get("spec") or {}):
        name = holder.get(name_field)
        if name and name not in INJECTED:
            source = Source(resource, str(name))
            found[source] = found.get(source, False) or not holder.get("optional")
    return found


def renamed(template: dict[str, Any], names: Mapping[Source, str]) -> dict[str, Any]:
    """Write other names into the references of a template, in place, and return it."""
    for resource, holder, name_field in _places(template.get("spec") or {}):
        source = Source(resource, str(holder.get(name_field)))
        if source in names:
            holder[name_field] = names[source]
    return template


def _places(pod: Mapping[str, Any]) -> Iterator[tuple[Resource, dict[str, Any], str]]:
    """Yield every place in a pod's spec that names a ConfigMap or Secret whose content its containers see."""
    for volume in pod.get("volumes") or ():
        if volume.get("configMap"):
            yield CONFIG_MAP, volume["configMap"], "name"
        if volume.get("secret"):
            yield SECRET, volume["secret"], "secretName"
        for part in (volume.get("projected") or {}).get("sources") or ():
            yield from _both(part, "configMap", "secret")
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(group) or ():
            for part in container.get("envFrom") or ():
                yield from _both(part, "configMapRef", "secretRef")
            for variable in container.get("env") or ():
                yield from _both(variable.get("valueFrom") or {}, "configMapKeyRef", "secretKeyRef")


def _both(holder: Mapping[str, Any], map_field: str, secret_field: str) -> Iterator[tuple[Resource, Any, str]]:
    if holder.get(map_field):
        yield CONFIG_MAP, holder[map_field], "name"
    if holder.get(secret_field):
        yield SECRET, holder[secret_field], "name"


def digest_of(obj: Object) -> str:
    """Return the digest of what a ConfigMap or Secret holds, whatever its metadata."""
    content = {name: obj[name] for name in _CONTENT if obj.get(name)}
    return hashlib.sha256(canonical(content).encode()).hexdigest()[:16]


def is_tracked(obj: Object) -> bool:
    """Return whether revisions pin an object: not opted out, not injected by others and no copy of ours."""
    annotations, labels = annotations_of(obj), labels_of(obj)
    opted_out = any(annotations.get(key, "").startswith("disable") for key in OPT_OUT)
    injected = bool({*labels} & _INJECTED_LABELS or {*annotations} & _INJECTED_ANNOTATIONS)
    foreign_type = obj.get("kind") == SECRET.kind and obj.get("type", "Opaque") not in _COPIED_SECRETS
    return not (opted_out or injected or foreign_type or is_ours(obj))


def copies_of(pins: Pins, revision: str) -> tuple[Copy, ...]:
    """Return the copies that a revision needs."""
    return tuple(
        Copy(Source(_KINDS[kind], name), copy_name(name, revision), digest)
        for kind, names in sorted(pins.items())
        for name, digest in sorted(names.items())
        if kind in _KINDS
    )


def copy_name(name: str, revision: str) -> str:
    """Return the name of a copy; one that would be too long is cut and told apart by a hash."""
    whole = f"{name}-{revision}"
    if len(whole) <= LONGEST_NAME:
        return whole
    end = f"-{hashlib.sha256(name.encode()).hexdigest()[:10]}-{revision}"
    return name[: LONGEST_NAME - len(end)].rstrip("-.") + end


def copy_object(copy: Copy, content: Object, namespace: str, owner: Owner, revision: str) -> dict[str, Any]:
    """Return a copy as it is written: content alone, never changed again."""
    resource = copy.source.resource
    metadata = owned_metadata(copy.name, namespace, owner, revision=revision)
    metadata["annotations"][SOURCE] = copy.source.name
    kept = {name: content[name] for name in _CONTENT if content.get(name)}
    return {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
        "immutable": True,
        **kept,
    }


def kind_of(obj: Object) -> Resource:
    """Return the type of a ConfigMap or Secret."""
    return _KINDS[str(obj["kind"])]


def pinned_by(copies: tuple[Object, ...], revision: str) -> dict[Source, Object]:
    """Return the copies of one revision that are there, by what they were made of."""
    return {
        Source(kind_of(one), annotations_of(one)[SOURCE]): one
        for one in copies
        if labels_of(one).get(REVISION_LABEL) == revision and SOURCE in annotations_of(one)
    }
