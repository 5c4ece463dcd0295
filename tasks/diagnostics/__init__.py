"""What can be said about a trained model: one file a check, numbers in, a Finding out."""
