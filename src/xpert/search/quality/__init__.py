"""What stands in for the accuracy of a network before it is trained."""
