"""The imputation methods: one file or package per kind."""
