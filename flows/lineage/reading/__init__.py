"""Answer from the record: what was run, from what, why, and what depends on it."""
