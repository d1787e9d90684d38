"""Whether this node can be traced: `probes` reads the facts, `checks` judges them."""
