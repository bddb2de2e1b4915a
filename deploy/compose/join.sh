#!/bin/sh
# For the first start of compose.yaml: once the authority runs, gives each service a token, and puts the pin of the service CA into its
# configuration. Each token goes into the volume of its service and is valid once. Run it in this folder; COMPOSE is the command.
set -eu
compose=${COMPOSE:-docker compose}
owner="$compose exec -T authority steno"

$owner login --data /var/lib/steno/authority >/dev/null
for kind in ingest gateway viewer analyzer; do
  made=$($owner tokens add --type "$kind" --name "$kind-1" --json)
  printf %s "$made" | sed -n 's/.*"token": "\([^"]*\)".*/\1/p' |
    $compose run --rm -T --no-deps --entrypoint sh "$kind" -c 'umask 077; cat > /var/lib/steno/token'
  pin=$(printf %s "$made" | sed -n 's/.*\(sha256:[0-9a-f]*\).*/\1/p' | head -n 1)
  sed "s/sha256:PIN/$pin/" "config/$kind.yaml" > "config/$kind.yaml.new"
  mv "config/$kind.yaml.new" "config/$kind.yaml"
  echo "$kind-1 has its token"
done
