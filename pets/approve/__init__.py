"""PROMISE, the consent: signed approvals, and the policy they are measured against. Pure."""
