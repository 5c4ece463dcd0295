"""What datasets share: the form they have in common, downloads with checksums, the published sets of torchvision."""
