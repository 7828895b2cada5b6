"""Stand in for a kubelet: give every pod a network namespace, an Envoy and its application as processes."""
