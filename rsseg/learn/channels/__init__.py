"""What a method sees of a scene: channels that are made of the bands around each pixel."""
