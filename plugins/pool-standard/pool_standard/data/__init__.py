"""Readers and writers of JSON Lines, CSV and Parquet."""
