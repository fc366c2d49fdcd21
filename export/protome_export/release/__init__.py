"""Export a trained network to ONNX and check it."""
