"""Whom custom checks can ask: one file for each type of provider."""
