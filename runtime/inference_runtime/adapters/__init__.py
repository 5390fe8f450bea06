"""One module for each platform: an envelope in, a ``Request``; a ``Reply``, an envelope out."""
