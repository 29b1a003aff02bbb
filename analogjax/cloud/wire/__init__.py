"""The composer protocol, version 1: protobuf messages, and experiments, results and weights as such messages."""
