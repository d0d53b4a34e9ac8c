"""Many stories: runs of any size that lose and repeat nothing."""
