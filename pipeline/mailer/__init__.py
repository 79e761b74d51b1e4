"""The mailer: what members are told of, by e-mail, each once. See README.md."""
