"""One function a verb; the command line, a pipeline and a notebook call the same one."""
