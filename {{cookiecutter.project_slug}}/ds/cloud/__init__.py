"""One run on AWS. Standard library, boto3 and `ds.jobs` only, so that a Lambda can import it."""
