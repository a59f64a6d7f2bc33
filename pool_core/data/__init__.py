"""Rows on their way in and merged records on their way out.

``identify`` gives every row its id, ``records`` reads a run's generations back from its store,
``layouts`` arranges them, ``export`` writes the file.
"""
