"""Create the IAM roles that runs need (once per AWS account): python setup_AWS.py --help."""

from run import start

if __name__ == "__main__":
    start("setup_AWS.py")
