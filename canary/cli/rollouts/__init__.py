"""Rollouts of Argo Rollouts as a Deployment and a Canary, with all that has no counterpart told."""
