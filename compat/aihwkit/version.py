"""The version of aihwkit whose interface this tree follows."""

from compat.aihwkit import __version__ as __version__
