"""Dense multi-view stereo on the CPU: a photo set with known cameras -> a depth map for every photo."""
