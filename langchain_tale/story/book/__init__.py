"""A story in scenes: asked for, read however it comes, shown as it grows, printed."""
