"""Seeds whose worlds once went wrong, and what it was. They are run again for ever."""

from __future__ import annotations

__all__ = ["KEPT"]

#: A world changes where its generator does: the smallest case of each fault is a test of the engine as well.
KEPT = {
    33: "the place of a refused call was given on before its quota was paused",
    50: 'a server that said "at once" stopped its member for asking to wait too long',
    57: "a cell that gave up within a named wait did not pause its quota",
    62: "a fallback got its cells in another order each time",
    91: "a wait of a day, named to the last attempt of a cell, stopped nobody",
    155: "an answer that came in the moment of a second stop was lost",
    208: "a failed second request that may have been billed was not counted",
    248: "a second request that waited was sent after the key had been refused",
    302: "an equal row takes the answer of a cell that was not looked at yet",
    536: "first requests that had failed held the places that their second ones waited for",
}
