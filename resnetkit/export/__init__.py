"""Models as files for other runtimes: picture in, answer out, checked before they are kept."""
