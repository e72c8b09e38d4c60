"""Changes of images in training."""
