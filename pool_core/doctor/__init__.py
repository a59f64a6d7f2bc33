"""How installed plugins fare: each is looked at in a process of its own.

``examination`` asks, ``probe`` answers from inside the process, ``diagnosis`` says what it means. This
package imports nothing, so that a probe measures the plugin and not the pool.
"""
