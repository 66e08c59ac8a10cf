"""Networks in Keras 3, trained by whole epochs as one compiled program. Runs on TensorFlow or JAX."""
