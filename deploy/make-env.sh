#!/bin/sh
# make-env.sh [FILE]: writes .env, or another file, with secrets that nobody else has, for
# compose.yaml. A file that is there stays.
set -eu
cd "$(dirname "$0")/.."
file=${1:-.env}
[ ! -e "$file" ] || { echo "$file is there already; nothing was changed" >&2; exit 1; }
umask 077
secret() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }
cat >"$file" <<EOF
POSTGRES_PASSWORD=$(secret)
REDIS_PASSWORD=$(secret)
ARTIC_JWT_SECRET=$(secret)
ARTIC_INTERNAL_SECRET=$(secret)
ARTIC_MASTER_KEY=$(secret)
# auto: Pyth if a key is set, else an exchange, else simulated
ARTIC_PRICE_SOURCE=auto
#ARTIC_PYTH_API_KEY=
EOF
echo "wrote $file; docker compose up"
