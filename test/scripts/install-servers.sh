#!/bin/sh
# Installs the servers and tools that the demonstration, the tests or the
# benchmark need on Debian or Ubuntu. It says what it installs, says nothing
# when there is nothing to do, and starts no service, now or at the next boot.
#
#   install-servers.sh demo             PostgreSQL, Dovecot and OpenLDAP
#   install-servers.sh test             these, Cyrus and 389 Directory Server
#   install-servers.sh bench            these and isync (mbsync)
#   install-servers.sh bench --imapsync these and imapsync, where it is packaged
#
# Cyrus cannot be installed beside Dovecot, and 389 Directory Server brings what
# nobody wants; so they are not: their packages are unpacked into folders that
# hold nothing else, MAILMIRROR_CYRUS and MAILMIRROR_389, or cyrus and 389 below
# /var/cache/mailmirror for root, below ~/.cache/mailmirror for others.
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

# A Dovecot that is out of inotify instances announces no change by NOTIFY. All
# Dovecots of the tests run as one user, and Linux allows a user 128.
instances=/proc/sys/fs/inotify/max_user_instances
if [ -e "$instances" ] && [ "$(cat "$instances")" -lt 4096 ]; then
	say "raising fs.inotify.max_user_instances from $(cat "$instances") to 4096, until the next boot"
	echo 4096 | as_root tee "$instances" >/dev/null ||
		say "it cannot be raised: tests of listening may fail; run this once: sysctl fs.inotify.max_user_instances=4096"
fi

# The others are unpacked, each into a folder of its own.

cached() { # cached NAME: the folder
	if [ "$(id -u)" = 0 ]; then echo "/var/cache/mailmirror/$1"; else echo "$HOME/.cache/mailmirror/$1"; fi
}

download() (folder=$1 && shift && cd "$folder" && apt-get -q -o APT::Sandbox::User=root download "$@")

# unpack FOLDER WITHOUT PACKAGE...: the packages, and the libraries that they
# depend on and this machine has not, without those that match WITHOUT. They go
# into FOLDER.new/root.
unpack() {
	into=$1 without=$2
	shift 2
	for p in "$@"; do available "$p" || update_lists; done
	for p in "$@"; do available "$p" || die "package $p is not in the lists; enable the archive that has it (Ubuntu: universe)"; done
	libraries=$(apt-cache depends "$@" |
		sed -n 's/^ *|\{0,1\}Depends: \(lib[^ ]*\)$/\1/p' | sort -u | grep -v -e "$without" |
		while read -r p; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed' || echo "$p"; done)
	# shellcheck disable=SC2086 # a list of words
	fetch=$(printf '%s\n' "$@" $libraries | sort -u | tr '\n' ' ')
	say "unpacking into $into: $fetch"
	rm -rf "$into.new"
	mkdir -p "$into.new/debs"
	# shellcheck disable=SC2086
	if ! quietly download "$into.new/debs" $fetch; then
		[ -z "$updated" ] || exit 1
		update_lists
		# shellcheck disable=SC2086
		quietly download "$into.new/debs" $fetch || exit 1
	fi
	for deb in "$into.new"/debs/*.deb; do dpkg-deb -x "$deb" "$into.new/root"; done
	rm -rf "$into.new/debs"
	# One folder for all libraries, whether their packages say /lib or /usr/lib.
	if [ -d "$into.new/root/lib" ]; then cp -a "$into.new/root/lib/." "$into.new/root/usr/lib/"; fi
}

# finish FOLDER LIBRARY-PATH BINARY...: nothing that they link is missing.
finish() {
	into=$1 path=$2
	shift 2
	missing=$(for b in "$@"; do
		LD_LIBRARY_PATH=$path ldd "$b" | sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p'
	done | sort -u)
	[ -z "$missing" ] || die "what is unpacked into $into is incomplete, these libraries are missing:" $missing
	touch "$into.new/complete"
	rm -rf "$into"
	mv "$into.new" "$into"
}

cyrus=${MAILMIRROR_CYRUS:-$(cached cyrus)}
if [ ! -e "$cyrus/complete" ]; then
	# ClamAV and Zephyr are for parts of Cyrus that are not used here.
	unpack "$cyrus" '^libclamav\|^libzephyr' cyrus-common cyrus-imapd sasl2-bin libsasl2-modules libsasl2-modules-db
	for lib in "$cyrus.new"/root/usr/lib/*/libcyrus.so.0; do libs=$(dirname "$lib"); done
	root=$cyrus.new/root
	finish "$cyrus" "$libs" "$root/usr/lib/cyrus/bin/master" "$root/usr/lib/cyrus/bin/imapd" "$root/usr/lib/cyrus/bin/ctl_cyrusdb" "$root/usr/sbin/saslpasswd2"
fi

ds389=${MAILMIRROR_389:-$(cached 389)}
if [ ! -e "$ds389/complete" ]; then
	# Its tools, in Perl and Python, are not used here.
	unpack "$ds389" '-perl$\|^libsnmp' 389-ds-base 389-ds-base-libs
	for lib in "$ds389.new"/root/usr/lib/*/dirsrv; do libs=$(dirname "$lib"); done
	finish "$ds389" "$libs/dirsrv:$libs/dirsrv/plugins:$libs" "$ds389.new/root/usr/sbin/ns-slapd" "$libs"/dirsrv/plugins/*.so
fi
