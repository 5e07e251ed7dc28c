"""Engine.IO and Socket.IO servers, as resources for any Twisted Web site."""
