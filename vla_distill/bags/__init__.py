"""Bags: read, converted to and from datasets, replayed, and used to judge policies. No ROS."""
