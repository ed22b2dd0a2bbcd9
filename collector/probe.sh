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
# A forced probe is one line of authorized_keys: inside double quotes, which dropbear does not unescape and asyncssh does,
# and inside single quotes, which fish and csh read in their own ways. So there is no quote, no ! and no backslash in the
# commands, but where their number does not matter. IFS is empty: what is not quoted is not split, but if empty it is gone.

set -f
IFS=
unset BASH_ENV ENV TMOUT
LC_ALL=C
PATH=${PATH:+$PATH:}/usr/bin:/bin
export LC_ALL PATH

# bash is looked for only where sh has no clock of its own, and takes the program from its beginning.
if [ ${#EPOCHREALTIME} = 0 ] && [ ${#BASH_VERSION} = 0 ] && [ -w /dev/null ] && command -v bash >/dev/null; then
    exec bash -c $0 $0 $1 $2 $3
fi

# Some servers and shells have halved the backslashes, once or twice; after three rounds there are none left with anybody.
chars=$(printf %b \\\\\\\\035\\\\\\\\036\\\\\\\\012\\\\\\\\040\\\\\\\\044.)
chars=$(printf %b $chars)
chars=$(printf %b $chars)
take() {
    char=${chars%${chars#?}}
    chars=${chars#?}
}
take
gs=$char
take
rs=$char
take
nl=$char
take
sp=$char
take
dollar=$char

token=$2
about=
if [ $1 = forced ]; then
    case ${SSH_ORIGINAL_COMMAND-exec /bin/sh} in
        exec$sp/bin/sh) ;;
        *) echo this key is for the polls of the collector and for nothing else >&2; exit 1 ;;
    esac
fi
[ -w /dev/null ] && exec 2>/dev/null

if [ $1 = forced ]; then
    about=$sp$2$sp$3
    hex=[0-9a-f]
    hex=$hex$hex$hex$hex
    while IFS=$sp read -r colon name token; do
        case $colon$sp$name$sp$token in :${sp}collector-probe$sp$hex$hex$hex$hex) break ;; esac
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
        eval text=$dollar{text//${dollar}nl/${dollar}rs}
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
