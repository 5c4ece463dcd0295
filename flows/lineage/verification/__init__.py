"""What `goodfit lineage verify` looks at, one file each; flows/lineage/verify.py puts them together."""
