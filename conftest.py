"""What all tests of the repository share: examples of properties have no time limit of their own.

A deadline would measure the machine, not the code.
"""

from hypothesis import settings

settings.register_profile("pool", deadline=None)
settings.load_profile("pool")
