"""A CAN bus with the motors of an ARX5 arm on it, for programs that believe it to be real."""

from can_bench.bench import CanBench
from can_bench.errors import BenchError
from can_bench.record import Record

__all__ = ["BenchError", "CanBench", "Record"]
