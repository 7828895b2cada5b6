"""The Kubernetes API: calls, caches fed by watches, Events."""
