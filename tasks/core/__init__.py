"""What everything else stands on: errors, files, tensors, and the base of all settings. Small and stable."""
