"""Packages of evaluated results."""
