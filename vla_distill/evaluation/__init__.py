"""Closed-loop evaluation: the policy drives simulated arms through the robot's player and gate."""
