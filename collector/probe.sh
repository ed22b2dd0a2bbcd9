# The collector's probe. It answers each line of standard input with one line: the clock, then some files of /proc.
# It forks nothing for them in bash. A shell without a clock of its own runs date, once for each answer. Any other than bash
# reads a byte at a time, which is slow, and of a number in /proc/sys the first byte is all: one grep reads all files there.
# It writes nothing but its answers, keeps nothing, makes way for everybody else's work, and ends with the connection.
#
# What stands between `part for PATTERN` and `end of part` is there only for files whose names match.
#
# args: PROBE sent TOKEN           sent by the collector at a login; PROBE is this text
#       PROBE forced SHA256 FILES  forced by a line of authorized_keys: reads these files and no others
# in:   : collector-probe TOKEN     forced only: the greeting, with 16 hexadecimal digits; what comes before is ignored
#       NUMBER [FILE ...]      the files asked for; without any, those of the line before. Any other line is ignored.
#                              A FILE with a * in it stands for all that match, and if it ends in /. for where the
#                              folders that match really are; some are no files: filesystems, run:SECONDS:COMMAND
# out:  TOKEN READY 1 SHELL [SHA256 FILES]     1 is the version of this protocol
#       TOKEN UNFIT SYSTEM     there is no /proc; in what follows CLOCK may be FIRST/LAST, before and after all is read
#       TOKEN NUMBER CLOCK <GS> TEXT <GS> TEXT ... <GS> TOKEN NUMBER
#       TOKEN NUMBER CLOCK <GS> TEXT <GS> TEXT ... <GS> LINES <GS> TOKEN NUMBER     by grep, which reads all files at once
#
# <GS> is \035. In a TEXT \036 stands for each newline: bash writes its output line by line, and one line is one packet.
# The TEXT of a FILE with a * is <FS> NAME <RS> TEXT for each that has one; <FS> is \034, and <RS> is \036.
# That of filesystems is a line for each that has a device or could have: BLOCKS FREE AVAILABLE SIZE INODES FREE PLACE,
# or stuck PLACE. That of run is what the command wrote, and <FS> STATUS if it had a limit of SECONDS, which may be 0; in
# COMMAND + is a blank, and =NNN any character in octal. LINES are FILE:LINE for each line of each file, whose TEXT is empty.
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

# Begun once more, behind everybody else's work; and in bash, if sh has no clock of its own.
case $0 in *-again) ;; *) if [ -w /dev/null ]; then
    sh=/bin/sh
    [ ${#EPOCHREALTIME} = 0 ] && [ ${#BASH_VERSION} = 0 ] && command -v bash >/dev/null && sh=bash
    command -v nice >/dev/null && exec nice $sh -c $1 collector-probe-again $1 $2 $3 $4
    [ $sh = bash ] && exec bash -c $1 collector-probe-again $1 $2 $3 $4
fi ;; esac

# Some servers and shells have halved the backslashes, once or twice; after three rounds there are none left with anybody.
chars=\\\\\\\\034\\\\\\\\035\\\\\\\\036\\\\\\\\012\\\\\\\\040\\\\\\\\044\\\\\\\\041.
backslash=${chars%%034*}
while [ ${#backslash} -gt 1 ]; do backslash=${backslash#?}; done
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
take
bang=$char

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

# say TEXT: to mksh printf is a program, which takes no more than 128 kB.
case ${KSH_VERSION-} in
    *MIRBSD*) say() { print -rn -- $1; } ;;
    *) say() { printf %s $1; } ;;
esac

# slurp FILE: its text in $text; nothing where it cannot be read, or is of 768 kB: half of it would be taken for all. $mend: the command that puts <RS> for what newlines are
# left in $answer; in an eval, because other shells cannot even parse it. $plain: the one that decodes $place of mountinfo;
# where there is none, a place with a blank in it is not found.
if [ ${#BASH_VERSION} -gt 0 ]; then
    shell=bash
    mend=answer=$dollar{answer//${dollar}nl/${dollar}rs}
    plain=printf$sp-v${sp}place$sp%b$sp${dollar}place
    slurp() {
        text=
        read -r -n 786432 -d $gs text <$1
        [ ${#text} -lt 786432 ] || text=
    }
else
    shell=sh
    mend=:
    plain=:
    slurp() {
        text=
        [ ${#by_grep} = 0 ] || [ $1 = /proc/self/stat ] && [ -r $1 ] || return 0
        while read -r line || [ ${#line} -gt 0 ]; do text=$text$line$rs; done <$1
        text=${text%%$gs*}
    }
fi
# clean CHARACTERS: $text without these, which somebody has written in it who chose a name or what a command says.
clean() {
    IFS=$1
    set -- $text
    IFS=
    text=$*
}

# part for [*]|^/proc/sys/
# choose: whether grep reads the files is in $by_grep: those for it. A few plain ones are read sooner without it. What the
# probe itself is, grep does not know.
choose() {
    by_grep=
    [ $shell = sh ] || return 0
    case $files in *[*]*|*/proc/sys/*) ;; *) return 0 ;; esac
    IFS=$sp
    for file in $files; do
        case $file in /proc/self/stat) ;; /*) by_grep=$by_grep$sp$file ;; esac
    done
    IFS=
}
# grep_all: the lines of all files in $text, and where folders really are. The forked shell becomes grep.
grep_all() {
    text=$(
        set +f
        IFS=$sp
        for one in $by_grep; do
            case $one in (*/.) cd -P $one && say $one:$PWD$nl ;; esac
        done
        exec grep -s ^ /dev/null $by_grep
    )
    clean $gs
}
# end of part

# part for [*]
# each PATTERN, in bash: the names and texts of the files that match in $text; that of a folder is where it really is.
each() {
    found=
    text=
    [ ${#by_grep} = 0 ] || return 0
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
        [ ${#text} -gt 0 ] || continue
        found=$found$fs$one$rs$text
    done
    set -f
    text=$found
}
# end of part

# part for ^filesystems$
# filesystems: how full each is in $text. stat may wait for a server that is gone, so it has a second for all of them, and
# if that is over, one for each, until two have been found that hold it up. They are left alone for up to 40 questions.
# bash waits for no process, and so not even for one that cannot be killed.
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
        sizes $@ || one_by_one $@
    fi
    IFS=$nl
    for place in $stuck; do text=$text${nl}stuck$sp$place; done
    IFS=
}
form=%b$sp%f$sp%a$sp%S$sp%c$sp%d$sp%n
one_by_one() {
    known=
    found=0
    for place; do
        [ $found = 2 ] && break
        if sizes $place; then
            known=$known$nl$text
        else
            stuck=$stuck$place$nl
            found=$((found + 1))
        fi
    done
    text=$known
}
# sizes PLACE ...: what stat says in $text; false if it has said nothing in a second.
if [ $shell = bash ] && [ -e /dev/fd/0 ]; then
    printf -v less %b ${backslash}0074
    printf -v open %b ${backslash}0050
    printf -v close %b ${backslash}0051
    ask=read$sp-r$sp-t${sp}1$sp-d$sp${dollar}gs${sp}text$sp$less$sp$less${open}exec${sp}stat$sp-f$sp-c$sp${dollar}form$sp${dollar}@$close
    sizes() {
        text=
        eval $ask
        [ $? -gt 128 ] || return 0
        eval kill$sp-s${sp}KILL$sp$dollar$bang
        return 1
    }
else
    sizes() {
        text=$(timeout -s KILL 1 stat -f -c $form $@)
        # What most shells, ksh and yash say of the end by a KILL.
        case $? in 137|265|393) return 1 ;; esac
    }
fi
# end of part

# part for ^run:
# run ITEM: what a command writes in $text. One with a limit of time has one of length, too, and is killed with all that
# it has started.
run() {
    command=${1#run:}
    seconds=${command%%:*}
    decode ${command#*:}
    if [ $seconds = 0 ]; then
        text=$(eval $command </dev/null)
    else
        text=$({ limited; say $fs$status; } | head -c 262144)
    fi
}
limited() {
    timeout -s KILL $seconds /bin/sh -c $command </dev/null &
    eval job=$dollar$bang
    wait $job
    status=$?
    kill -s KILL -- -$job
}
# decode TEXT: what it stands for, in $command.
decode() {
    IFS=+
    set -- $1
    IFS=$sp
    command=$*
    IFS==
    set -- $command
    IFS=
    command=$1
    shift
    for part; do command=$command${backslash}0$part; done
    if [ $shell = bash ]; then printf -v command %b $command; else command=$(printf %b $command); fi
}
# end of part

# now: the clock in $now, seconds since the epoch. later: and what it is at the end, if that can be had without a fork.
if [ ${#EPOCHREALTIME} -gt 0 ]; then
    now() { now=$EPOCHREALTIME; }
    later() { now=$now/$EPOCHREALTIME; }
else
    now() { now=$(date +%s.%N); }
    later() { :; }
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

by_grep=
say $nl$token${sp}READY${sp}1$sp$shell$about$nl
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
# part for [*]|^/proc/sys/
        choose
# end of part
    fi
    answer=
    for file; do
        case $file in
            filesystems) filesystems; clean $gs$rs ;;
            run:*) run $file; clean $gs$rs ;;
            *[*]*) each $file ;;
            *) slurp $file ;;
        esac
        answer=$answer$gs$text
    done
# part for [*]|^/proc/sys/
    if [ ${#by_grep} -gt 0 ]; then
        grep_all
        answer=$answer$gs$text
    fi
# end of part
    eval $mend
    later
    say $token$sp$number$sp$now$answer$gs$token$sp$number$nl
done
exit
