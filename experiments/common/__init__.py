"""What the studies share: resumable cells, the frame of a command, tables, judging."""
