"""Driver of the ARX5: the vendor's library in a process of its own, watched from here.

The library may hang with Python's lock held, abort, or move on without its motors; none of that may
reach the process that decides. So `child` runs it, `driver` starts, watches and kills the child,
and `wire` is all that passes between them. `streamer` and `freshness` are the child's judgement,
free of processes and of the library.
"""
