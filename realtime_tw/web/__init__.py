"""HTTP: the resources, usable in any Twisted Web site, and a site that streams request bodies and shares its port."""
