"""Servers that others have made, for the backend ``openai`` to ask: how each is found, started and judged."""
