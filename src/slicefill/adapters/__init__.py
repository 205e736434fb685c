"""Imputation as a transform of other libraries; a file needs the library it is named for."""
