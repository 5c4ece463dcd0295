"""Stage processes: how they run, end with their run, keep apart, and what is mended after a kill."""
