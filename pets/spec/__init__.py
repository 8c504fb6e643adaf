"""PROMISE, the words: what a specification, a query, a card and a plan are. Pure."""
