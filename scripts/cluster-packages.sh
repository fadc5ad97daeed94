#!/bin/sh
# Installs what tests/cluster needs of the system, or the packages that are named, as far as they are missing, and prints
# what it installed. Debian and Ubuntu, as root.
set -eu
packages="${*:-buildah conntrack containerd containernetworking-plugins debootstrap iproute2 ipset iptables runc util-linux}"

# Commands that often come from elsewhere than Debian's packages: asked for by name.
if [ $# -eq 0 ]; then
    command -v javac >/dev/null || packages="$packages default-jdk-headless"
    command -v npm >/dev/null || packages="$packages npm"
fi

missing=""
for package in $packages; do
    # shellcheck disable=SC2016  # dpkg-query reads ${...}, the shell must not
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
    echo "the test cluster needs packages that are missing: apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >/dev/null
# A daemon that a package brings is of no use here: the cluster starts its own, where nothing else sees it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086  # one word a package
apt-get install -q -y --no-install-recommends $missing >/dev/null
echo "installed:$missing"
