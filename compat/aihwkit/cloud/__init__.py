"""Experiments in the cloud: the client of the composer protocol."""
