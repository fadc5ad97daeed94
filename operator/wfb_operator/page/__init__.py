"""The web view: a page that reads the books and changes nothing, and what serves it on one's own machine."""
