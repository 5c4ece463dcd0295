"""Free DVC's cache of what nothing reaches, and say what is lost."""
