"""The demonstration: two organisations' made-up records and the folder of what it needs."""
