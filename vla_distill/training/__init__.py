"""Training a policy on demonstrations."""
