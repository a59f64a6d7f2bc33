"""Backends in processes of their own: one may crash, hang or eat all memory, and the run goes on.

`backend` is what the engine sees, `child` the outside of one process, `process` its inside; `owned` is a process as
the system sees it.
"""
