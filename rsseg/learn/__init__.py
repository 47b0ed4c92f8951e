"""Arrays in, model out. Needs torch, numpy, safetensors and pydantic only."""
