"""The self-hosted service: the composer protocol, a JSON API, a queue, and a page. `analogjax serve` starts it."""
