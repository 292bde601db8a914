"""What networks are trained and evaluated on: published sets, packs, and crops of them."""
