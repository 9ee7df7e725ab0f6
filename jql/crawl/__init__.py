"""WARC and WET shards -> text, language, heuristic signals: the DOCUMENT table."""
