"""Shapes of agents' runs, healthy and looping, as a stream of requests. This package imports nothing of ours.

A shape is a function of a random generator that yields turns: which pod asks, after which pause, with which body and
headers, and what the answer costs. A healthy one ends by itself, a loop never does: whoever drives it stops it.
"""

from shapes.healthy import HEALTHY
from shapes.looping import LOOPING
from shapes.turn import Turn

__all__ = ["HEALTHY", "LOOPING", "Turn"]
