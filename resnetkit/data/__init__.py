"""What a network sees: pictures found, decoded, measured and put into batches. Nothing here needs torch."""
