"""The command line `cdk-inference`: one file for each command, over the library."""
