"""Does the similarity of a layer's graph predict how well transfer from that layer works?"""
