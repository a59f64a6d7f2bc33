"""The store of a run: rows, answers and cells, durable in one SQLite file.

It knows bytes, numbers and names, and nothing of models. ``schema`` has the tables, ``migrations`` how
older files get them, ``records`` what goes in and out, ``sealing`` its checksums, ``writer`` the one
thread that commits, ``ingest`` the rows, ``reuse`` the answers that may serve again, ``spent`` what was
paid for, ``store`` the file, ``opening`` how it is opened and checked, ``lock`` who owns the run directory.
Where things go wrong: ``faults`` what errors of SQLite mean, ``pages`` and ``salvage`` answers read past
it, ``repair`` and ``quarantine`` a damaged file built anew.
"""
