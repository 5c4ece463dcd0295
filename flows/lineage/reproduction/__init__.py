"""Run a commit again in a clean clone, and compare what comes out."""
