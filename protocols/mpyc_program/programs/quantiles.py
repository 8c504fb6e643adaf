"""Values at given ranks of all holders' values together: exact, and nobody learns whose they are."""

from mpyc.runtime import mpc


async def main():
    secint = mpc.SecInt()
    values = [value for holder in mpc.inputs("value", secint) for value in holder]
    ranks = mpc.parameter("ranks")
    for rank in ranks:
        assert 1 <= rank <= len(values)
    ordered = mpc.sorted(values)
    mpc.release("quantile", [ordered[rank - 1] for rank in ranks])
