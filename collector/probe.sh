# The collector's probe. It answers each line of standard input with one line: the clock, then some files of /proc.
# It forks nothing in bash; in a shell without a clock of its own it runs date, once for each answer.
# It writes nothing but its answers, keeps nothing, and ends with the connection.
#
# args: sent TOKEN             sent by the collector at a login
#       forced SHA256 FILES    forced by a line of authorized_keys: reads these files and no others, obeys nothing else
# in:   : collector-probe TOKEN     forced only: the greeting, with 16 hexadecimal digits; what comes before is ignored
#       NUMBER [FILE ...]      the files asked for; without any, those of the line before. Any other line is ignored
# out:  TOKEN READY 1 SHELL [SHA256 FILES]     1 is the version of this protocol
#       TOKEN UNFIT SYSTEM     there is no /proc
#       TOKEN NUMBER CLOCK <GS> TEXT <GS> TEXT ... <GS> TOKEN NUMBER
#
# <GS> is \035. In a TEXT \036 stands for each newline: bash writes its output line by line, and one line is one packet.
#
# A forced probe is one line of authorized_keys, inside double quotes that dropbear does not unescape, and inside single
# quotes that fish and csh read in their own ways. So here is no quote, no ! and no \\ (but where the number of them does
# not matter). IFS is empty: nothing splits what is not quoted, but an empty word is gone.

if [ $1 = forced ]; then
    case ${SSH_ORIGINAL_COMMAND-exec /bin/sh} in
        exec\ /bin/sh) ;;
        *) echo this key is for the polls of the collector and for nothing else >&2; exit 1 ;;
    esac
fi
set -f
IFS=
unset BASH_ENV ENV TMOUT
LC_ALL=C
PATH=${PATH:+$PATH:}/usr/bin:/bin
export LC_ALL PATH
[ -w /dev/null ] && exec 2>/dev/null

# bash is looked for only where sh has no clock of its own.
if [ ${#EPOCHREALTIME} = 0 ] && [ ${#BASH_VERSION} = 0 ] && command -v bash >&2; then
    exec bash -c $0 $0 $1 $2 $3
fi

# fish halves doubled backslashes, other shells do not; after two rounds all have the same three characters and a dot.
chars=$(printf %b \\\\035\\\\036\\\\012.)
chars=$(printf %b $chars)
gs=${chars%???}
rs=${chars#?}
rs=${rs%??}
nl=${chars#??}
nl=${nl%?}
sp=\  token=$2 about=

if [ $1 = forced ]; then
    about=$sp$2$sp$3
    hex=[0-9a-f]
    hex=$hex$hex$hex$hex
    while IFS=$sp read -r colon name token; do
        case $colon$sp$name$sp$token in :\ collector-probe\ $hex$hex$hex$hex) break ;; esac
        token=
    done
    [ ${#token} = 16 ] || exit 1
fi
[ -d /proc/self ] || { printf %s $nl$token${sp}UNFIT$sp$(uname -s)$nl; exit 1; }

# slurp FILE: its text in $text; nothing where it cannot be read.
if [ ${#BASH_VERSION} -gt 0 ]; then
    shell=bash
    # In an eval: other shells cannot even parse it.
    slurp() {
        text=
        read -r -d $gs text <$1
        eval text=\${text//\$nl/\$rs}
    }
else
    shell=sh
    slurp() {
        text=
        [ -r $1 ] || return 0
        while read -r line || [ ${#line} -gt 0 ]; do text=$text$line$rs; done <$1
    }
fi

# now: the clock in $now, seconds since the epoch.
if [ ${#EPOCHREALTIME} -gt 0 ]; then
    now() { now=$EPOCHREALTIME; }
else
    now() { now=$(date +%s.%N); }
fi

# choose LIST FILES: the list in $files, with an empty file for each that is none of FILES.
choose() {
    files=
    IFS=$sp
    for file in $1; do
        chosen=/dev/null
        for known in $2; do [ $file = $known ] && chosen=$file; done
        files=$files$sp$chosen
    done
    IFS=
}

printf %s $nl$token${sp}READY${sp}1$sp$shell$about$nl
files=
while IFS=$sp read -r number wanted; do
    case $number in [1-9]*) ;; *) continue ;; esac
    now
    case $1$wanted in
        sent?*) files=$wanted ;;
        forced?*) choose $wanted $3 ;;
    esac
    answer=
    IFS=$sp
    for file in $files; do
        IFS=
        slurp $file
        answer=$answer$gs$text
    done
    IFS=
    printf %s $token$sp$number$sp$now$answer$gs$token$sp$number$nl
done
