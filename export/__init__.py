"""The model factory: synthetic heads, training, evaluation and ONNX export."""
