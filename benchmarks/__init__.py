"""What the tables of README and docs are measured by: each module is a command, `python -m benchmarks.NAME`."""
