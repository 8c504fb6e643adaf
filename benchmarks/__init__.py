"""Benchmarks: each is ``python -m benchmarks.NAME [--size N] [--json]`` and prints one JSON object per case."""
