"""What each difference between the papers and the authors' code changes."""
