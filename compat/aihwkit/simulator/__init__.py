"""Configuration and tiles."""
