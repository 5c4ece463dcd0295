"""What is wrong with a trained model: the checks (one file each, in `checks/`) and what they share."""
