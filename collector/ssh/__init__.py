"""All that knows paramiko: from a machine's address and a key to a channel with a shell on it."""
