"""The policy: from an observation to a chunk of end-effector targets. Imports no ROS."""
