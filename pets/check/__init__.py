"""PROMISE, the judgement: who learns what, what it costs, and whether that was declared. Pure."""
