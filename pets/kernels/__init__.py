"""PERFORMANCE, the arithmetic: arrays in, arrays out. Pure; entropy and keys are arguments."""
