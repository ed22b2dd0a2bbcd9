"""The collector: a greenlet asks each machine for its time, memory and load, and a page shows the answers.

The way of the data is the way of the modules; nothing flows back:

    config -> schedule -> sweep -> session -> probe -> gatherers -> snapshot -> exposition -> web

    __main__.py     gevent's patches, then cli.main()
    cli.py          arguments -> one function a command
    daemon.py       run(): the parts wired, signals, ready, reload, stop in order
    polling.py      the machines of the configuration in force, what a reload changes, and polls that somebody asks for
    config/         collector.ini -> Config, Machine; its web_config -> WebConfig; every check of both
        ini.py          files -> sections, each value with its line
        values.py       texts -> values
        machine.py      what they become: Config, Machine, Login
        files.py        whether the files are there that are named
        custom.py       what [gather:NAME] may say -> Custom
        setting.py      what a section says, each value with its place
        ways.py         jump hosts -> the way to each machine
        ssh_config.py   the person's ssh_config -> texts of our options
        algorithms.py   the algorithms that a login may use
        web.py          what web_config says; document.py its YAML, tls.py its certificates
        problems.py     how it is said what is wrong
    schedule.py     calls at steady intervals of the monotonic clock; knows APScheduler
    sweep.py        a greenlet for each machine that is due; visit(): one machine -> one Snapshot, never raises
    session.py      one machine's kept login, and its deadlines
    renewal.py      a login anew in the background, in place of one that has become old
    pause.py        how long what fails is left alone
    ssh/            all that knows paramiko
        connector.py    logs in to a machine; what all sessions share: identities, known hosts, jump hosts, login slots
        slots.py        how many logins are under way at once
        jump.py         one jump host: its connection, or why there is none
        trunk.py        that connection, and the ways through it
        resolve.py      a host's name -> its addresses, remembered
        dial.py         a host's addresses -> a socket
        wire.py         a socket -> packets: the tuned Packetizer
        transport.py    the handshake: the tuned Transport
        resting.py      a kept session's Transport, which the hub reads while only answers come
        connection.py   a transport -> the channel on which the probe runs
        phase.py        the phases of a poll: deadlines, and what each foreign exception means
        known_hosts.py  known_hosts -> an index: the format
        hostkeys.py     who is trusted: the files as they are now, and the judgement on a machine's key
        host_certificate.py  what must be right about a host's certificate
        identities.py   private keys, certificates, passwords: read once, and again when they change
        auth.py         the login with one of them, or with the agent's key
    probe.sh        the program that runs on the machine
    probe.py        what is said to it, and what it answers
    targets.py      what a machine is that cannot run it
    gather.py       the gatherers found; what a machine is asked for, and what they make of its answers
    gatherers/      one file a gatherer: time, memory, load, cpu, netdev and more
    custom.py       gatherers of people's own, out of their sections; knows RE2 and JMESPath
    metric.py       Gauge, Counter, Sample; Samples, many of them
    snapshot.py     Snapshot, Failure: what one poll said; Fleet: the standing of every machine
    exposition.py   snapshots -> the page, rendered once a poll, joined at a scrape
    crew.py         greenlets that do one poll after another
    memory.py       when to look for garbage, and what to keep of what is freed
    turns.py        how whoever computes for long gives way to everybody else
    telemetry.py    the daemon's own metrics
    web/            the HTTP server, its pages, and who is let in
    systemd.py      sd_notify
    logs.py         logfmt and JSON log lines
    errors.py       the error tree; each leaf has its reason
    once.py, check.py, report.py    the commands that print a table
    authorize.py    the line of authorized_keys with which a key can do nothing but answer polls
    trust.py        the command that shows host keys, asks, and adds them
    atomic.py       a file replaced as a whole
    demo.py         a fleet on this machine, made for the purpose
"""
