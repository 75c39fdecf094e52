"""Files, batches and fine-tuning jobs in OpenAI's words, at providers whose own API for them is another."""
