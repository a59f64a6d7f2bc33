"""The standard policies. All are total, deterministic and free of the members' order."""
