"""aitoolbox's experiment savers, with its module and public names, on top of analogjax."""

from analogjax._version import __version__ as analogjax_version

__version__ = "1.8.0"  # the interface that this tree follows
backend = f"analogjax {analogjax_version}"
