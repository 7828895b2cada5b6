"""End-to-end tests: the real controller process on real Istio parts with real traffic."""
