"""Ways to a smaller model: a file each, with `Settings` and `shrink(settings, subject)`, which makes a module or ONNX bytes."""
