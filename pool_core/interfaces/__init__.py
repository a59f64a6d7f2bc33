"""What a plugin implements and what the parts of the pool hand to each other.

``values`` has the data, ``task``, ``backend``, ``policy``, ``prompt_format`` and ``data`` have one
abstract base class each, ``types`` has the types of output fields. Import from the modules: this
package's own namespace is empty, so that importing one interface does not pay for the others.
"""
