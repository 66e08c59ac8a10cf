"""Studies: runs that measure how well the platform works; they change no champion."""
