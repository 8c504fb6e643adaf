"""Privacy-preserving computation between organisations that may not pool their records."""
