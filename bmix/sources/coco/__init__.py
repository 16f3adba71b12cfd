"""MS-COCO's instances."""
