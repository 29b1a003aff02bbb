"""The operators, where aihwkit has its compiled module."""

from compat.aihwkit.extension.aihwkit_extension import ops as ops
