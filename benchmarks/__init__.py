"""Programs that measure realtime_tw against other servers on the same machine. Not part of the package."""
