"""Measurements that the README's tables are made of: each module is a command, `python -m benchmarks.NAME`."""
