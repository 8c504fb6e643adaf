"""Other systems on this machine, beside ours: ``python -m benchmarks.peers``."""
