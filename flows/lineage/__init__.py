"""The lineage: one file a verb."""
