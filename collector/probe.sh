# The collector's probe. It answers each line of standard input with one line: the clock, then some files of /proc.
# It forks nothing in bash; in a shell without a clock of its own it runs date, once for each answer, and in any other
# than bash one grep for all files of /proc/sys: such a shell reads a byte at a time, and of a number there the first is all.
# It writes nothing but its answers, keeps nothing, and ends with the connection.
#
# What stands between `part for PATTERN` and `end of part` is there only for files whose names match.
#
# args: PROBE sent TOKEN           sent by the collector at a login; PROBE is this text
#       PROBE forced SHA256 FILES  forced by a line of authorized_keys: reads these files and no others
# in:   : collector-probe TOKEN     forced only: the greeting, with 16 hexadecimal digits; what comes before is ignored
#       NUMBER [FILE ...]      the files asked for; without any, those of the line before. Any other line is ignored.
#                              A FILE with a * in it stands for all that match, and if it ends in /. for where the
#                              folders that match really are; one is no file: filesystems
# out:  TOKEN READY 1 SHELL [SHA256 FILES]     1 is the version of this protocol
#       TOKEN UNFIT SYSTEM     there is no /proc
#       TOKEN NUMBER CLOCK <GS> TEXT <GS> TEXT ... <GS> TOKEN NUMBER
#
# <GS> is \035. In a TEXT \036 stands for each newline: bash writes its output line by line, and one line is one packet.
# The TEXT of a FILE with a * is <FS> NAME <RS> TEXT for each that can be read; <FS> is \034, and <RS> is \036.
# That of filesystems is a line for each that has a device or could have: BLOCKS FREE AVAILABLE SIZE INODES FREE PLACE,
# or stuck PLACE.
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
    exec bash -c $1 collector-probe $1 $2 $3 $4
fi

# Some servers and shells have halved the backslashes, once or twice; after three rounds there are none left with anybody.
chars=\\\\\\\\034\\\\\\\\035\\\\\\\\036\\\\\\\\012\\\\\\\\040\\\\\\\\044.
for round in 1 2 3; do
    if [ ${#BASH_VERSION} -gt 0 ]; then printf -v chars %b $chars; else chars=$(printf %b $chars); fi
done
take() {
    char=${chars%${chars#?}}
    chars=${chars#?}
}
take
fs=$char
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

mode=$2
token=$3
about=
allowed=$4
if [ $mode = forced ]; then
    case ${SSH_ORIGINAL_COMMAND-exec /bin/sh} in
        exec$sp/bin/sh) ;;
        *) echo this key is for the polls of the collector and for nothing else >&2; exit 1 ;;
    esac
fi
[ -w /dev/null ] && exec 2>/dev/null

if [ $mode = forced ]; then
    about=$sp$3$sp$allowed
    hex=[0-9a-f]
    hex=$hex$hex$hex$hex
    while IFS=$sp read -r colon name token; do
        case $colon$sp$name$sp$token in :${sp}collector-probe$sp$hex$hex$hex$hex) break ;; esac
        token=
    done
    [ ${#token} = 16 ] || exit 1
fi
[ -d /proc/self ] || { printf %s $nl$token${sp}UNFIT$sp$(uname -s)$nl; exit 1; }

# slurp FILE: its text in $text; nothing where it cannot be read. $mend: the command that puts <RS> for what newlines are
# left in $answer; in an eval, because other shells cannot even parse it. $plain: the one that decodes $place of mountinfo;
# where there is none, a place with a blank in it is not found.
if [ ${#BASH_VERSION} -gt 0 ]; then
    shell=bash
    mend=answer=$dollar{answer//${dollar}nl/${dollar}rs}
    plain=printf$sp-v${sp}place$sp%b$sp${dollar}place
    slurp() {
        text=
        read -r -d $gs text <$1
    }
else
    shell=sh
    mend=:
    plain=:
    slurp() {
        text=
        [ -r $1 ] || return 0
# part for ^/proc/sys/
        case $1 in
            /proc/sys/*) grep_number $1; return ;;
        esac
# end of part
        while read -r line || [ ${#line} -gt 0 ]; do text=$text$line$rs; done <$1
    }
fi

# part for ^/proc/sys/
# grep_number FILE: its text in $text, by one grep an answer for all files of /proc/sys.
grepped=0
grep_number() {
    [ $grepped = $number ] || grep_numbers
    text=${numbers#*$nl$1:}
    text=${text%%$nl*}$rs
}
grep_numbers() {
    grepped=$number
    set --
    IFS=$sp
    for entry in $files; do
        case $entry in /proc/sys/*) set -- $@ $entry ;; esac
    done
    IFS=
    numbers=$nl$(grep -s ^ /dev/null $@)
}
# end of part

# part for [*]
# each PATTERN: the names and texts of the files that match in $text; that of a folder is where it really is.
each() {
    found=
    set +f
    for one in $1; do
        set -f
        [ -r $one ] || continue
        case $one in
            */.) text=
                cd -P $one && text=$PWD
                cd / ;;
            *) slurp $one ;;
        esac
        found=$found$fs$one$rs$text
    done
    set -f
    text=$found
}
# end of part

# part for ^filesystems$
# filesystems: how full each is in $text. stat may wait for a server that is gone, so it has two seconds for all of them,
# and if these are over, one for each. Who holds it up is left alone for up to 40 questions. Two forks.
stuck=$nl
filesystems() {
    [ $((number % 40)) = 0 ] && stuck=$nl
    set --
    while IFS=$sp read -r id parent device root place rest; do
        rest=${rest#*$sp-$sp}
        case ${rest%%$sp*} in
            autofs|binfmt_misc|bpf|cgroup|cgroup2|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue) continue ;;
            nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs) continue ;;
        esac
        case $place in
            /dev|/dev/*|/proc|/proc/*|/sys|/sys/*|/run/credentials/*|/var/lib/docker/*|/var/lib/containers/storage/*) continue ;;
        esac
        eval $plain
        case $stuck in *$nl$place$nl*) ;; *) set -- $@ $place ;; esac
    done </proc/self/mountinfo
    text=
    if [ $# -gt 0 ]; then
        text=$(nice timeout -s KILL 2 stat -f -c $sizes $@)
        [ $? = 137 ] && one_by_one $@
    fi
    IFS=$nl
    for place in $stuck; do text=$text${nl}stuck$sp$place; done
    IFS=
}
sizes=%b$sp%f$sp%a$sp%S$sp%c$sp%d$sp%n
one_by_one() {
    text=
    for place; do
        text=$text$nl$(nice timeout -s KILL 1 stat -f -c $sizes $place)
        [ $? = 137 ] && stuck=$stuck$place$nl
    done
}
# end of part

# now: the clock in $now, seconds since the epoch.
if [ ${#EPOCHREALTIME} -gt 0 ]; then
    now() { now=$EPOCHREALTIME; }
else
    now() { now=$(date +%s.%N); }
fi

# restrict: of the files wanted those that are allowed, and an empty one for each that is not.
restrict() {
    files=
    for file in $wanted; do
        chosen=/dev/null
        for known in $allowed; do [ $file = $known ] && chosen=$file; done
        files=$files$sp$chosen
    done
}

printf %s $nl$token${sp}READY${sp}1$sp$shell$about$nl
set --
while IFS=$sp read -r number wanted; do
    case $number in [1-9]*) ;; *) continue ;; esac
    now
    if [ ${#wanted} -gt 0 ]; then
        files=$wanted
        IFS=$sp
        [ $mode = sent ] || restrict
        set -- $files
        IFS=
    fi
    answer=
    for file; do
        case $file in
            filesystems) filesystems ;;
            *[*]*) each $file ;;
            *) slurp $file ;;
        esac
        answer=$answer$gs$text
    done
    eval $mend
    printf %s $token$sp$number$sp$now$answer$gs$token$sp$number$nl
done
exit
