"""Measurements that take longer than tests may; results are committed in ``results/``."""
