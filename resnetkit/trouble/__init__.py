"""What is wrong with the data: found in the pictures, in their labels, and in how they are parted."""
