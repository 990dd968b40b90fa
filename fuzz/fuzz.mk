.PHONY: fuzz
fuzz: ## What parsers make of a minute of random input each; FUZZ="config -runs=1000000" is one of them, for longer
	@fuzz/run $(FUZZ)

.PHONY: fuzz-corpus
fuzz-corpus: ## Keeps what `make fuzz` has found and every `make test` replays: fuzz/corpus
	@fuzz/run --keep
