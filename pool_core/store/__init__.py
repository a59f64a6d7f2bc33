"""The store of a run: rows, answers and cells, durable in one SQLite file.

It knows bytes, numbers and names, and nothing of models. ``schema`` has the tables, ``migrations`` how
older files get them, ``records`` what goes in and out, ``sealing`` its checksums, ``writer`` the one
thread that commits, ``ingest`` the rows, ``store`` the file, ``lock`` who owns the run directory.
"""
