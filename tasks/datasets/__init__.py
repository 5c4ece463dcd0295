"""Where images and labels come from: one file a source, one line in the registry."""
