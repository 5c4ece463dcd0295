"""How a model learns: the loop, losses, optimizers, schedules, batches."""
