"""Figures side by side with their peers: `python -m benchmarks` measures all, `python -m benchmarks NAME …` some."""
