"""The school, offline: datasets, collection, training, evaluation, reports, the ``vla`` command."""
