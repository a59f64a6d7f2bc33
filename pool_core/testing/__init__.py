"""Tools for the tests of plugins and of the pool itself: a server that answers as it is told."""
