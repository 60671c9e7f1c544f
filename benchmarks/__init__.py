"""How long a callback takes to reach its consumer, side by side with the alternatives.

``python -m benchmarks --help``; the method is in README.md.
"""
