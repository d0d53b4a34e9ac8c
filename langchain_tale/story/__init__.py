"""What a story is: asked for, prompted, told and read back."""
