"""Words that every room uses: boxes, targets, configuration, seeds. No nn.Module, no files."""
