"""One module for each RTP payload format: packets in, whole access units out."""
