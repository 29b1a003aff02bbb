"""Caches of compiled programs that don't grow for ever.

Each program that XLA has compiled for a CPU takes some memory maps, of which Linux grants a process 65,530. A process
that tries hundreds of configurations, as a search over devices does, would use them up and die of a segmentation fault.
"""

from functools import lru_cache

kept = lru_cache(maxsize=64)
"""Cache what a function returned for the last 64 different arguments, more than the structures of tiles in a model.

What is dropped stays usable for those that hold it, and is made again when it is asked for.
"""
