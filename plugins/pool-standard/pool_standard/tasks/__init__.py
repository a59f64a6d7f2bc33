"""The standard tasks, one module each."""
