"""Demonstrations by scripted experts, disturbed on purpose so that recovery can be learned."""
