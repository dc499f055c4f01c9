"""What the words after ``resnet`` do."""
