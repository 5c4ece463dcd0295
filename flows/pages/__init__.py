"""What a run shows while it runs and when it has ended: progress, results, time and memory."""
