"""Measure how long a callback takes to reach its consumer, and compare with alternatives.

Run ``python -m benchmarks --help``. README.md describes the method.
"""
