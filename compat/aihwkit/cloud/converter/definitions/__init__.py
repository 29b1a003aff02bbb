"""Messages of the protocol, under the names of the modules that a protobuf compiler would have made."""
