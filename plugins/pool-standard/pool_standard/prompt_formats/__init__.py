"""The standard prompt formats."""
