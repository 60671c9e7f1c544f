"""The command line: ``aioteredo`` and ``python -m aioteredo``."""
