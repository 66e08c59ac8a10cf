"""Studies: runs that tell what the platform is worth, and change no champion."""
