# Each target does its own set-up: Python 3.11 or newer and make are enough.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: venv demo test lint format bench browser parity

venv: .venv/ready

# torch first and with its dependencies, for outside macOS and CPU-only builds it does not import without them;
# the rest without, because the peers would pull other builds of torch.
.venv/ready: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "error: Python 3.11 or newer is needed\nfix: make PYTHON=python3.11")'
	@echo "installing into .venv: about 1.6 GB, some minutes"
	@$(PYTHON) -m venv --clear .venv
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c requirements.lock torch
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps -r requirements.lock
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: venv
	@mkdir -p runs
	@rm -rf runs/demo
	$(BIN)/resnet train digits --model resnet20 --epochs 40 --lr 0.1 --weight-decay 0.001 --out runs/demo
	$(BIN)/resnet eval runs/demo/best.safetensors digits
	@$(BIN)/python -c "from PIL import Image; from sklearn.datasets import load_digits; Image.fromarray((load_digits().images[7] * 15.9375).round().astype('uint8')).save('runs/demo/seven.png')"
	$(BIN)/resnet predict runs/demo/best.safetensors runs/demo/seven.png
	@echo "everything of this run is in runs/demo"

# Pages are looked at in a real browser. Where there is none and none can be had, those tests say so and are skipped.
browser:
	@command -v chromium chromium-browser google-chrome > /dev/null || { apt-get update -qq && apt-get install -y -qq chromium > /dev/null; } || echo "note: no Chromium here, and none could be installed"

test: venv
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: venv
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy

format: venv
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: venv
	$(BIN)/python -m benchmarks.train_speed

# Every network as a file for onnxruntime and OpenVINO, against torch on 150 photographs: hours.
parity: venv
	$(BIN)/python -m benchmarks.parity --size 64 --to onnx,openvino
