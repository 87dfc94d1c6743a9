#!/bin/bash
#
# script/make_secret.sh
#	  Write a file with a key for pg_leader.secret_file, or add a key to one.
#
# For people.  Never prints a key, never overwrites a file, and leaves none that
# the server would refuse: node/secret.c has the rules.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=script/lib.sh
. "$here/lib.sh"

usage()
{
	cat <<TEXT
NAME
    make_secret.sh - write a key that members authenticate their datagrams with

SYNOPSIS
    make_secret.sh [-i KEY_ID] [--add] FILE

DESCRIPTION
    Writes a new random key of 32 bytes into FILE, readable for nobody but the
    user that the servers run as: the caller, or PGLD_USER (postgres by default)
    for root.  FILE must not exist, but its directory must.  Copy the file to all
    members, over a channel that you trust, and name it in pg_leader.secret_file
    on each.

OPTIONS
    -i KEY_ID  the key's id, 1 to 255; 1 by default, with --add one more than
               that of the key that is there
    --add      FILE holds one key: add a second one behind it, which is accepted
               and does not sign yet.  This is the first step of an exchange of
               keys, see "Exchange the key" in doc/operations.md
    --help     this text

EXIT STATUS
    0 the key was written, 1 it was not, 2 called wrongly
TEXT
}

temporary=

clean_up()
{
	if [[ -n $temporary ]]; then
		rm -f -- "$temporary"
	fi
}

random_key()
{
	local key

	key=$(od -An -v -tx1 -N 32 /dev/urandom | tr -d ' \n')
	[[ $key =~ ^[0-9a-f]{64}$ ]] || fail "/dev/urandom gave no key"
	printf '%s' "$key"
}

# Sets old_id to the id of the one key in the file.
read_old_key()
{
	local line number=0

	old_id=
	[[ -f $file && -r $file ]] || fail "$file is not a file that can be read"
	while IFS= read -r line || [[ -n $line ]]; do
		number=$((number + 1))
		line=${line%%#*}
		[[ -n ${line//[[:space:]]/} ]] || continue
		[[ -z $old_id ]] ||
			fail "$file holds two keys already" "take out the one that is not used any more"
		if [[ $line =~ ^[[:space:]]*([0-9]{1,3})[[:space:]]+[0-9A-Fa-f]{64,128}[[:space:]]*$ ]]; then
			old_id=$((10#${BASH_REMATCH[1]}))
		fi
		is_number "$old_id" 1 255 || fail "$file, line $number: this is no key id with a key"
	done <"$file"
	[[ -n $old_id ]] || fail "there is no key in $file"
}

# What the file is to hold, in a file beside it; then that takes its name.
write_key()
{
	local key

	key=$(random_key)
	temporary=$(mktemp -- "$file.XXXXXX") || fail "cannot write in the directory of $file"
	if [[ $add == yes ]]; then
		# The last line may lack its end.
		awk 1 "$file" >"$temporary"
	fi
	printf '%d %s\n' "$id" "$key" >>"$temporary"
	if [[ $add == yes ]]; then
		chmod --reference="$file" -- "$temporary"
		if is_root; then
			chown -h --reference="$file" -- "$temporary"
		fi
		mv -T -- "$temporary" "$file"
		temporary=
		return
	fi
	if is_root; then
		chown -h "$SERVER_USER:$(id -g "$SERVER_USER")" -- "$temporary"
	fi
	# A link, unlike a rename, never takes the place of a file.
	ln -T -- "$temporary" "$file" 2>/dev/null || fail "$file could not be made, or is there already"
}

add=no
id=
file=
while (( $# > 0 )); do
	case $1 in
		-i) id=$(option_value "$@"); shift ;;
		--add) add=yes ;;
		-h | --help) usage; exit 0 ;;
		-*) usage_error "there is no option $1" ;;
		*) [[ -z $file ]] || usage_error "one file at a time, not $file and $1"; file=$1 ;;
	esac
	shift
done
[[ -n $file ]] || usage_error "which file?  FILE is missing"
[[ -z $id ]] || is_number "$id" 1 255 || usage_error "the key id must be a number from 1 to 255, not \"$id\""
choose_server_user
trap clean_up EXIT
umask 077

if [[ $add == yes ]]; then
	file=$(readlink -f -- "$file") || fail "there is no such file"
	read_old_key
	id=${id:-$((old_id % 255 + 1))}
	(( 10#$id != old_id )) || fail "the key in $file has key id $old_id already" "name another one with -i"
elif [[ -e $file || -L $file ]]; then
	fail "$file is there already" "--add adds a key to it"
else
	[[ -d $(dirname -- "$file") ]] || fail "there is no directory $(dirname -- "$file")"
fi
id=$((10#${id:-1}))
write_key
say "key $id written to $file"
