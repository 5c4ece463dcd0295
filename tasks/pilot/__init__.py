"""Remedies tried: short trainings that differ from the recipe in one thing, paired by seed, judged on the validation images."""
