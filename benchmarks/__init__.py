"""Measurements that the tables of README and docs are made of: each module is a command, `python -m benchmarks.NAME`."""
