"""What every plugin has to keep, as tests: one class for each kind, which an author subclasses.

``declared`` has what an author says; ``base`` the checks of every kind; ``task``, ``backend``, ``policy``,
``reader`` and ``writer`` those of one; ``listing`` the table of all. The rest are their tools.
"""
