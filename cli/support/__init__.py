"""What commands share: arguments, console, progress, reports."""
