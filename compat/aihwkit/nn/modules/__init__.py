"""Analog layers and containers."""
