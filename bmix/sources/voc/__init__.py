"""PASCAL VOC's annotations, published or of one's own."""
