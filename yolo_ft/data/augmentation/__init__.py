"""What happens to images and boxes on their way into a training."""
