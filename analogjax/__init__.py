"""Neural networks on analog in-memory-computing chips, simulated in JAX."""

__version__ = "0.1.0"
