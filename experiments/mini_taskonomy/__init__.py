"""Many small tasks on the packaged photographs: training of the zoo `mini`."""
