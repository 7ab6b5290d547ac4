# Two commands for people: `make demo` lifts an example picture, `make test` runs every check. Both set up what they need.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
PINNED := $(PIP) --constraint constraints.txt
APT    := libegl1 libgl1 libegl-mesa0 libgl1-mesa-dri nodejs npm

.PHONY: demo test lint bench clean

demo: $(VENV)/.core
	@mkdir -p out
	$(BIN)/liftform make examples/pictures/sofa.jpg -o out/sofa.glb --height 0.8
	@echo
	@echo "asset    $(CURDIR)/out/sofa.glb"
	@echo "preview  $(CURDIR)/out/sofa.preview.png"
	@echo "report   $(CURDIR)/out/sofa.report.json"

test: lint $(VENV)/.system
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: $(VENV)/.core
	$(BIN)/liftform evaluate speed

clean:
	rm -rf $(VENV) out build

# Debian ships Python without ensurepip: such an environment gets its pip from the pip outside.
$(VENV)/.python:
	$(PYTHON) -m venv $(VENV) 2>/dev/null || \
	  { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(BIN)/python install --quiet pip; }
	@touch $@

$(VENV)/.core: $(VENV)/.python pyproject.toml constraints.txt
	$(PINNED) hatchling editables
	$(PINNED) --no-build-isolation --editable .
	@touch $@

# torch by itself and first: an open range may pull gigabytes of CUDA libraries.
$(VENV)/.dev: $(VENV)/.core
	$(PIP) torch==2.13.0
	$(PINNED) --no-build-isolation --editable ".[train,torch,video,sets,fields,plans,usd,compress,quads,dev]"
	@touch $@

# Software OpenGL for the training renderer, node for the glTF validator (scripts/get_gltf_validator.sh). Without root
# they are only named, and the tests that need them skip, saying so.
$(VENV)/.system: $(VENV)/.python
	@missing=$$(for p in $(APT); do dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q '^install ok installed' || echo $$p; done); \
	command -v npm >/dev/null && missing=$$(echo $$missing | sed 's/nodejs//; s/npm//'); \
	if [ -n "$$(echo $$missing)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	elif [ -n "$$(echo $$missing)" ]; then echo "not installed, and no right to install: $$missing"; fi
	@touch $@
