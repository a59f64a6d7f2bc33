"""Seeds whose worlds once went wrong, and what it was. They are lived through again for ever."""

from __future__ import annotations

__all__ = ["KEPT"]

#: A world changes where its generator does, so the smallest case of each fault is a test of the engine as well.
KEPT = {
    50: 'a server that said "at once" stopped its member for asking to wait too long',
    62: "a fallback got the cells of a stopped member in another order each time",
    89: "the calls of a stopped member ended in another order each time",
    91: "a wait of a day, named to the last attempt of a cell, stopped nobody",
    96: "a refused call, whose cell gave up, did not pause its quota for the wait that the server named",
    155: "an answer that came in the moment of a second stop was lost, and asked for again",
    207: "the place of a refused call was given on before its quota was paused",
    208: "a failed second request that may have been billed was not counted",
    303: "a wait that a server named to a second request was not heeded",
    536: "first requests that had failed held the places that their second ones waited for, and the run never ended",
    1038: "on a server with a steady latency, second requests were sent in the moment of the answer",
    1976: "a second request left in the moment in which the first one was answered",
    2159: "a wait that a server named to a probe was not heeded",
}
