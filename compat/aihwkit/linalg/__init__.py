"""Linear algebra with analog matrices."""

from compat.aihwkit.linalg.matrix import AnalogMatrix as AnalogMatrix
