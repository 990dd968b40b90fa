.PHONY: fuzz
fuzz: ## Fuzz every parser for a minute; FUZZ="config -runs=1000000" fuzzes one of them, for longer
	@fuzz/run $(FUZZ)

.PHONY: fuzz-corpus
fuzz-corpus: ## Keep findings of `make fuzz` in fuzz/corpus, for `make test`
	@fuzz/run --keep
