"""Run a bench by hand:  python -m can_bench [MODEL [INTERFACE]]

It prints the two lines to export in the shell in which the program under test shall run.
"""

from __future__ import annotations

import sys
import time

from can_bench.bench import CanBench

with CanBench(*sys.argv[1:3]) as bench:
    for name, value in bench.environment.items():
        print(f"export {name}={value}", flush=True)
    try:
        while True:
            time.sleep(1.0)
            print("joints", bench.joints().round(4).tolist(), "on the bus:", bench.peers())
    except KeyboardInterrupt:
        pass
