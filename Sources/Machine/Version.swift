/// Version of the program, as `--version` and the machine's tables give it.
public let programVersion = "0.1.0"
