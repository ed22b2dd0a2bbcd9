r"""The test rig: real servers, false servers and bad networks, one idea a module.

    needs.py       what a test needs of the machine (root, namespaces, programs); skips here, fails in CI
    limit.py       no test runs for ever
    wait.py        until(condition): waiting without sleeping for luck
    keys.py        key pairs, known_hosts
    certificates.py  an authority for TLS and what it signs
    logins.py      what a client must know to log in to any server below; writes collector.ini
    users.py       accounts that exist only in a private namespace
    private.py     a program in namespaces of its own: other files over the host's, programs taken away
    sshd.py        Sshd: a real OpenSSH server with such users
    others.py      Dropbear, AsyncSsh, TinySsh: other real servers (inetd.py and asyncssh_server.py are their programs)
    shells.py      login shells, each as a user
    dns.py         NameServer: a name server that tells the truth, fails or is silent
    daemon.py      Daemon: the daemon as a process
    said.py        what the machines of fixtures/<gatherer>/ said, file by file
    polls.py       poll(login): a machine polled, as the daemon does it
    matrix.py      Matrix: a table in a document, each cell of which a test answers for
    servers.py     RawServer, silent_port: servers that never get as far as SSH
    scripted.py    SshServer: SSH up to the stage that the test wants, then whatever its script says
    proxy.py       Proxy: late, slow, silent and cut connections in front of any server
    strike.py      Strike: where such a connection is cut, held or corrupted, by bytes or by SSH packets
    installation.py  make_install(folder): this tree, installed there
    testbed.py     Testbed: a real systemd in namespaces of its own (../systemd-testbed.sh is its program)
    link.py        Link: two network namespaces with a slow and lossy line between them (tunnel.py is its program)

The fixtures `sshd`, `shared_sshd`, `login` and `key` are in ../conftest.py. Every server has `address`, (host, port),
and `publics`, the public halves of its host keys, so `login(server)` fits them all:

    def test_login(shared_sshd, login):
        assert shared_sshd.ssh("whoami", user="bash") == "bash\n"

    def test_half_open(sshd, login):
        with Proxy(sshd(users=[User("sh")])) as proxy:
            machine = login(proxy)              # host, port, user, key_file, known_hosts
            proxy.blackhole()
"""
