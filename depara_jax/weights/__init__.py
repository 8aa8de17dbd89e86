"""Reading weight files and mapping them strictly onto a network's variables."""
