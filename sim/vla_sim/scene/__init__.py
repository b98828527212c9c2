"""What stands on the table, where, and how it looks."""
