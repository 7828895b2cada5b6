"""Run real Kubernetes, Istio, Envoy and Prometheus as processes, without a container engine."""
