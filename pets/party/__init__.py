"""The one room where promise, performance and carriage meet: a party's own server."""
