"""Savers and loaders for buckets of S3 and Google Storage, and the words that choose between them."""

s3_available_options = ["s3", "aws_s3", "aws"]
gcs_available_options = ["gcs", "google_storage", "google storage"]
