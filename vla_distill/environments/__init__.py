"""Worlds in which an episode can be played: our own simulator, or any Gymnasium environment."""
