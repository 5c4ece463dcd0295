"""Models in files that run without this code: torch.export and ONNX; what they cost in bytes, operations and time."""
