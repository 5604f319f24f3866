"""One run on AWS. Standard library, boto3 and jobs only, for a Lambda function."""
