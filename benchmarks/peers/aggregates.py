"""Sums of vectors by other systems, as ``benchmarks.aggregate`` shows them beside ours."""


def beside(values):
    return {}, {}, True
