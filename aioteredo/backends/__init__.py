"""One module for each backend, imported only when that backend is used."""
