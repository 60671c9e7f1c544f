"""The command line, ``aioteredo``. Only ``aioteredo/__main__.py`` imports this package."""
