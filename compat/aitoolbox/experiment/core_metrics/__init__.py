"""Metrics that packages combine."""
