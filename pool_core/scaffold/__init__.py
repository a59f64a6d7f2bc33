"""A new plugin as a folder of files: what `pool new plugin` writes."""
