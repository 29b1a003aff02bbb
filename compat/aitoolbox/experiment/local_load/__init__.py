"""Loaders from the local disk."""
