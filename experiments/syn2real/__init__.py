"""DEPARA's layer selection: synthetic and ImageNet sources, a real target, VGG-19-BN."""
