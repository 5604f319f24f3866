"""One run on AWS. Only imports the standard library, boto3 and `ds.jobs`, for use in a Lambda."""
