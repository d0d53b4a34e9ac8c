"""What no story for a child is asked for: the words of it, the rules, and who keeps watch."""
