#!/bin/sh
# Opens the live page in a real browser and tries what a person would: the tests of
# subscribers/live/browser. Installs what is missing: Debian's Chromium with a font, Node
# and npm, and two packages of npm by the lock file, which it keeps in
# ${XDG_CACHE_HOME:-$HOME/.cache}/taskvisor-browser. "scripts/browser.sh pictures FOLDER" makes the
# pictures of the documentation instead.
set -eu
cd "$(dirname "$0")/../subscribers/live/browser"

CHROMIUM=${CHROMIUM:-/usr/bin/chromium}
if [ ! -x "$CHROMIUM" ]; then
	[ "$(id -u)" = 0 ] || { echo "no chromium at $CHROMIUM: install it, or name one by CHROMIUM" >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-liberation >/dev/null
fi
if ! command -v npm >/dev/null; then
	[ "$(id -u)" = 0 ] || { echo "no npm: install nodejs and npm" >&2; exit 1; }
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null
fi
# Node modules are kept outside of the repository, by the lock file that they are of.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/taskvisor-browser/$(sha256sum package-lock.json | cut -c1-16)
if [ ! -d "$cache/node_modules" ]; then
	mkdir -p "$cache"
	cp package.json package-lock.json "$cache"
	npm ci --prefix "$cache" --ignore-scripts --no-audit --no-fund --silent
fi
if [ ! -e node_modules ] || [ -L node_modules ]; then
	ln -sfn "$cache/node_modules" node_modules
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
go build -o "$work/server" ./server
export CHROMIUM LIVE_SERVER="$work/server"
if [ "${1:-}" = pictures ]; then
	node pictures.mjs "${2:-.}"
else
	npm test --silent
fi
