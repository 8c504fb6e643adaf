"""CARRIAGE: opaque frames between named parties. Knows nothing of what is inside them."""
