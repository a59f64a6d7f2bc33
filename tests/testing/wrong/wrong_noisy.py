"""A module that does things when it is imported."""

import logging

from wrong_tasks import RightTask

__all__ = ["RightTask"]

logging.basicConfig(level=logging.DEBUG)
