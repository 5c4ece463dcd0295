"""A campaign of random faults: what a run leaves behind when it is killed, disturbed or starved, and whether the next run recovers."""
