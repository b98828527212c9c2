"""The ROS face of lean_vla: lifecycle nodes that wire the other rooms together."""
