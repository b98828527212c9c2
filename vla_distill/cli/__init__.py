"""The ``vla`` command: one module a verb (see :mod:`vla_distill.cli.main`)."""
