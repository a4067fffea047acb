"""Where prompts, demonstrations, labels and gold come from without files: the desk world and the exact one."""
