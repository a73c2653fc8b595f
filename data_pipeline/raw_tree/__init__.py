"""The folders and files of REACT2023, listed and checked."""
