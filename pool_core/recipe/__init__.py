"""The recipe: what a person writes, read safely, validated, and every error at its line.

``yaml_source`` reads the file, ``models`` says what may stand in it, ``locate`` turns validation
errors into places, ``load`` puts the three together. Nothing here imports a plugin.
"""
