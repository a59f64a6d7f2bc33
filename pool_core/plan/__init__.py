"""The plan: a recipe resolved and judged, nothing contacted yet.

``resolve`` turns names into classes and validated configurations, ``adapt`` applies the members'
renames, ``columns`` looks at the first rows, ``judge`` runs every check, ``assign`` says which
member gives which samples, ``fingerprint`` says when stored work still holds, ``build`` is all of
it. Pure: no network, no clock, no key.
"""
