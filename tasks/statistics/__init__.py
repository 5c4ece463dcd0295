"""Estimates, intervals and tests that the evaluation and the checks share. Losses are in nats, accuracies in [0, 1]."""
