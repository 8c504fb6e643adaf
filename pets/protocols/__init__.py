"""PERFORMANCE, the conversation: one generator per role. It yields acts and returns its output."""
