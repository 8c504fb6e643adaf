"""PROMISE, the plan: a checked specification lowered to the steps that will run. Pure."""
