"""The conformance classes of everything that the plugin offers, which ``python -m pool_core.testing standard`` runs."""
