"""What policies cost: operations, bytes, milliseconds, and what of it a recipe saves."""
