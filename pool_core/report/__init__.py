"""What a person reads of a run: ``summary`` counts, ``text`` makes foreign text harmless, the others draw."""
