"""What a network goes by: heat maps over pictures, and the features of pictures with what lies near what."""
