# The collector's probe. It answers each line of standard input with one line: the clock, then some files of /proc.
# It forks nothing in bash; in a shell without a clock of its own it runs date, once for each answer.
# It writes nothing but its answers, keeps nothing, and ends with the connection.
#
# in:   NUMBER [FILE ...]      the files asked for; without any, those of the line before
# out:  TOKEN READY SHELL
#       TOKEN NUMBER CLOCK <GS> TEXT <GS> TEXT ... <GS> TOKEN NUMBER
#
# <GS> is \035. In a TEXT \036 stands for each newline: bash writes its output line by line, and one line is one packet.

exec 2>/dev/null
set -f
gs=$(printf '\035')
rs=$(printf '\036')
nl='
'

# slurp FILE: its text in $text; nothing where it cannot be read.
if [ -n "$BASH_VERSION" ]; then
    shell=bash
    # In an eval: other shells cannot even parse it.
    eval 'slurp() { text=; IFS= read -r -d "" text <"$1"; text=${text//$nl/$rs}; }'
else
    shell=sh
    slurp() {
        text=
        [ -r "$1" ] || return 0
        while IFS= read -r line || [ -n "$line" ]; do text=$text$line$rs; done <"$1"
    }
fi

# now: the clock in $now, seconds since the epoch.
if [ -n "$EPOCHREALTIME" ]; then
    now() { now=$EPOCHREALTIME; }
else
    now() { now=$(date +%s.%N); }
fi

printf '\n%s READY %s\n' "$token" "$shell"
files=
while read -r number wanted; do
    now
    files=${wanted:-$files}
    answer=
    for file in $files; do
        slurp "$file"
        answer=$answer$gs$text
    done
    printf '%s %s %s%s%s%s %s\n' "$token" "$number" "$now" "$answer" "$gs" "$token" "$number"
done
