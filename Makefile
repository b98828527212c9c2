.DEFAULT_GOAL := help
.PHONY: help setup
PYTHON ?= python3
SHELL := /bin/bash

help:
	@echo setup

setup:
	@$(PYTHON) tools/setup_workspace.py
