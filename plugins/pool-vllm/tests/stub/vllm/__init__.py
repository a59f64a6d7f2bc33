"""What pool-vllm uses of vLLM, by the same names and signatures. Answers are made up: a GPU is needed for real ones."""
