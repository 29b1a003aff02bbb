"""The version of the library, which checkpoints record."""

__version__ = "0.1.0"
