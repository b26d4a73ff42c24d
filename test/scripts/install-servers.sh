#!/bin/sh
# Installs the servers and tools that the demonstration, the tests or the
# benchmark need on Debian or Ubuntu. It says what it installs, says nothing
# when there is nothing to do, and starts no service, now or at the next boot.
#
#   install-servers.sh demo             PostgreSQL, Dovecot and OpenLDAP
#   install-servers.sh test             these and Cyrus
#   install-servers.sh bench            these and isync (mbsync)
#   install-servers.sh bench --imapsync these and imapsync, where it is packaged
#
# Cyrus cannot be installed beside Dovecot, and is not: its packages are
# unpacked into a folder that holds nothing else, MAILMIRROR_CYRUS or
# /var/cache/mailmirror/cyrus for root, ~/.cache/mailmirror/cyrus for others.
set -eu

usage() {
	sed -n '2,14s/^# \{0,1\}//p' "$0" >&2
	exit 2
}

say() { echo "install-servers: $*"; }
die() { echo "install-servers: $*" >&2; exit 1; }

purpose=${1-}
extra=${2-}
case "$purpose" in demo | test | bench) ;; *) usage ;; esac
case "$extra" in '' | --imapsync) ;; *) usage ;; esac

as_root() {
	if [ "$(id -u)" = 0 ]; then
		"$@"
	elif command -v sudo >/dev/null 2>&1; then
		sudo "$@"
	else
		die "root rights are needed to install packages: run this as root, or install sudo"
	fi
}

apt() {
	as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@"
}

# A log is shown only when something went wrong.
log=$(mktemp)
policy=/usr/sbin/policy-rc.d
saved_policy=
placed_policy=
cleanup() {
	if [ -n "$placed_policy" ]; then
		as_root rm -f "$policy"
		if [ -n "$saved_policy" ]; then as_root mv "$saved_policy" "$policy"; fi
	fi
	rm -f "$log"
}
trap cleanup EXIT
trap 'exit 130' INT TERM HUP

quietly() {
	if ! "$@" >"$log" 2>&1; then
		cat "$log" >&2
		return 1
	fi
}

updated=
update_lists() {
	if [ -z "$updated" ]; then
		say "fetching the package lists"
		quietly apt update || die "the package lists cannot be fetched (see above)"
		updated=1
	fi
}

# available PACKAGE: the lists know it.
available() {
	[ -n "$(apt-cache show --no-all-versions "$1" 2>/dev/null)" ]
}

need=
want() { # want PACKAGE: it is to be installed
	need="$need $1"
}

postgres_there() {
	for f in /usr/lib/postgresql/*/bin/initdb; do
		if [ -x "$f" ]; then return 0; fi
	done
	return 1
}

command -v apt-get >/dev/null 2>&1 || die "this machine has no apt-get; install PostgreSQL, Dovecot, OpenLDAP and the others by hand"
# /usr/sbin is where the servers are, and not on every user's path.
PATH=$PATH:/usr/sbin:/sbin
postgres_there || want postgresql
[ -x /usr/lib/dovecot/imap ] || want dovecot-imapd
[ -x /usr/sbin/slapd ] || want slapd
command -v ldapmodify >/dev/null 2>&1 || want ldap-utils
if [ "$purpose" = bench ]; then
	command -v mbsync >/dev/null 2>&1 || want isync
	if [ "$extra" = --imapsync ] && ! command -v imapsync >/dev/null 2>&1; then
		available imapsync || update_lists
		if available imapsync; then
			want imapsync
		else
			say "imapsync is not packaged for this release; going on without it"
		fi
	fi
fi

if [ -n "$need" ]; then
	for p in $need; do available "$p" || update_lists; done
	for p in $need; do available "$p" || die "package $p is not in the lists; enable the archive that has it (Ubuntu: universe)"; done
	say "installing$need"
	# Packages start their services when installed; exit code 101 of this
	# script tells them not to (invoke-rc.d(8)).
	if [ -e "$policy" ]; then
		saved_policy=$(as_root mktemp "$policy.XXXXXX")
		as_root mv "$policy" "$saved_policy"
	fi
	placed_policy=1
	printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
	as_root chmod 755 "$policy"
	# shellcheck disable=SC2086 # a list of words
	if ! quietly apt install -y --no-install-recommends $need; then
		[ -z "$updated" ] || exit 1
		update_lists # stale lists name files that are gone from the mirror
		# shellcheck disable=SC2086
		quietly apt install -y --no-install-recommends $need || exit 1
	fi
	# Nor are they wanted after the next boot: every server here is private.
	if command -v systemctl >/dev/null 2>&1; then
		for p in $need; do
			case "$p" in
			postgresql) as_root systemctl --quiet disable postgresql.service >/dev/null 2>&1 || true ;;
			dovecot-imapd) as_root systemctl --quiet disable dovecot.service dovecot.socket >/dev/null 2>&1 || true ;;
			slapd) as_root systemctl --quiet disable slapd.service >/dev/null 2>&1 || true ;;
			esac
		done
	fi
fi

[ "$purpose" != demo ] || exit 0

# Cyrus, unpacked.
if [ "$(id -u)" = 0 ]; then cache=/var/cache/mailmirror/cyrus; else cache=$HOME/.cache/mailmirror/cyrus; fi
cyrus=${MAILMIRROR_CYRUS:-$cache}
if [ -e "$cyrus/complete" ]; then exit 0; fi

available cyrus-imapd || update_lists
available cyrus-imapd || die "package cyrus-imapd is not in the lists; enable the archive that has it (Ubuntu: universe)"
# The libraries that it links and this machine has not; they go into the same
# folder. ClamAV and Zephyr are for parts of Cyrus that are not used here.
libraries=$(apt-cache depends cyrus-common cyrus-imapd sasl2-bin |
	sed -n 's/^ *|\{0,1\}Depends: \(lib[^ ]*\)$/\1/p' | sort -u | grep -v -e '^libclamav' -e '^libzephyr' |
	while read -r p; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || echo "$p"; done)
fetch="cyrus-common cyrus-imapd sasl2-bin libsasl2-modules libsasl2-modules-db $libraries"
fetch=$(echo "$fetch" | tr ' ' '\n' | sort -u | tr '\n' ' ')
say "unpacking into $cyrus: $fetch"
rm -rf "$cyrus.new"
mkdir -p "$cyrus.new/debs"
# shellcheck disable=SC2086
download() (cd "$cyrus.new/debs" && apt-get -q -o APT::Sandbox::User=root download $fetch)
if ! quietly download; then
	[ -z "$updated" ] || exit 1
	update_lists
	quietly download || exit 1
fi
for deb in "$cyrus.new"/debs/*.deb; do dpkg-deb -x "$deb" "$cyrus.new/root"; done
rm -rf "$cyrus.new/debs"
# One folder for all libraries, whether their packages say /lib or /usr/lib.
if [ -d "$cyrus.new/root/lib" ]; then cp -a "$cyrus.new/root/lib/." "$cyrus.new/root/usr/lib/"; fi
for lib in "$cyrus.new"/root/usr/lib/*/libcyrus.so.0; do libs=$(dirname "$lib"); done
missing=$(for b in usr/lib/cyrus/bin/master usr/lib/cyrus/bin/imapd usr/lib/cyrus/bin/ctl_cyrusdb usr/sbin/saslpasswd2; do
	LD_LIBRARY_PATH=$libs ldd "$cyrus.new/root/$b" | sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p'
done | sort -u)
[ -z "$missing" ] || die "Cyrus is incomplete, these libraries are missing:" $missing
touch "$cyrus.new/complete"
rm -rf "$cyrus"
mv "$cyrus.new" "$cyrus"
