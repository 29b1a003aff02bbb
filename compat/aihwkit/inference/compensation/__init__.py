"""Compensation of drift."""
