"""What all tests of the repository share: how examples of properties are chosen.

They have no time limit of their own: a deadline would measure the machine, not the code. In tox they are the same each
time, so that the gate fails for what was changed. By hand they are others each time, and what fails is kept.
"""

import os

from hypothesis import settings

if "TOX_ENV_NAME" in os.environ:
    settings.register_profile("pool", deadline=None, derandomize=True, database=None)
else:
    settings.register_profile("pool", deadline=None)
settings.load_profile("pool")
