"""The arm without ROS: joint table, MJCF, URDF, kinematics, limits, safety gate, controller."""
