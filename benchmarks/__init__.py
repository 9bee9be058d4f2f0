"""Benchmarks that take longer than tests; their results are committed in ``results/``."""
