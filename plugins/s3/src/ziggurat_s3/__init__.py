"""The S3 backend of Ziggurat: any S3-compatible service."""
