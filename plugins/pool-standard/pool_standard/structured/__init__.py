"""What structured output is made of: the schema that is asked for, its fields, and the reading of answers."""
