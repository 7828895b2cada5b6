"""Where resources live on the API server."""

from __future__ import annotations

from urllib.parse import quote

from canary.core.objects import Ref, Resource


def kind_name(resource: Resource) -> str:
    """Return how kubectl names a type: ``deployments.apps``, ``services``."""
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def collection(resource: Resource, namespace: str = "") -> str:
    """Return the path of all objects of a type, in one namespace or, when empty, in all."""
    root = f"/apis/{resource.group}/{resource.version}" if resource.group else f"/api/{resource.version}"
    inside = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
    return f"{root}{inside}/{resource.plural}"


def single(ref: Ref, subresource: str = "") -> str:
    """Return the path of one object or of its subresource."""
    path = f"{collection(ref.resource, ref.namespace)}/{quote(ref.name, safe='')}"
    return f"{path}/{subresource}" if subresource else path


def definitions() -> str:
    """Return the path of all CustomResourceDefinitions."""
    return "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition(resource: Resource) -> str:
    """Return the path of the CustomResourceDefinition that serves a type."""
    return f"{definitions()}/{kind_name(resource)}"
