"""The greatest of all holders' values, and nothing else: not whose it is, and no other value."""

from mpyc.runtime import mpc


async def main():
    secint = mpc.SecInt()
    values = [value for holder in mpc.inputs("value", secint) for value in holder]
    mpc.release("maximum", mpc.max(values))
