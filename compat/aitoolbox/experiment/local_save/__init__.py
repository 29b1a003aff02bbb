"""Savers to the local disk."""
