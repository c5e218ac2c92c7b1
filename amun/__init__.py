"""Amun: does this software stack assemble, does it run, and how fast, on that hardware?"""

__version__ = "1.0.0"
